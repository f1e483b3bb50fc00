"""What torch's functions, methods and layers do to a tensor, by their names."""

import re
from collections.abc import Mapping

VIEWS = frozenset(
    {
        *(
            "view",
            "reshape",
            "squeeze",
            "squeeze_",
            "unsqueeze",
            "unsqueeze_",
            "permute",
            "transpose",
            "transpose_",
            "t",
        ),
        *(
            "movedim",
            "moveaxis",
            "swapaxes",
            "swapdims",
            "flatten",
            "ravel",
            "unflatten",
            "expand",
            "expand_as",
            "repeat",
        ),
        *("view_as", "reshape_as", "broadcast_to", "rearrange", "atleast_1d", "atleast_2d", "narrow", "index_select"),
        *("masked_select", "T", "mT", "H"),
    }
)
"""Functions, methods, layers (in lower case) and attributes that change the shape and leave the numbers."""

SEEN_THROUGH = VIEWS | {
    *("contiguous", "clone", "to", "cuda", "cpu", "xpu", "mps", "type", "type_as", "requires_grad_", "retain_grad"),
    *("pin_memory", "flip", "roll", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "identity"),
    *("feature_dropout", "feature_alpha_dropout", "nan_to_num", "Variable", "to_dense", "positive", "checkpoint"),
}
"""Those that leave the numbers of their first operand what they are."""

CASTS = {
    "float": "float",
    "double": "double",
    "half": "half",
    "bfloat16": "bfloat16",
    "long": "long",
    "int": "int",
    "short": "short",
    "char": "char",
    "byte": "byte",
    "bool": "bool",
    "float32": "float",
    "float64": "double",
    "float16": "half",
    "int64": "long",
    "int32": "int",
    "int16": "short",
    "int8": "char",
    "uint8": "byte",
    "FloatTensor": "float",
    "DoubleTensor": "double",
    "HalfTensor": "half",
    "LongTensor": "long",
    "IntTensor": "int",
    "ByteTensor": "byte",
    "BoolTensor": "bool",
}
"""Methods, dtypes and legacy constructors, and torch's shorter name of the dtype."""

DETACHING = frozenset({"detach", "detach_", "numpy", "tolist"})

OPERATIONS = {
    "expit": "sigmoid",
    "log_expit": "logsigmoid",
    "log_sigmoid": "logsigmoid",
    "relu_": "relu",
    "sigmoid_": "sigmoid",
    "tanh_": "tanh",
    "exp_": "exp",
    "log_": "log",
    "softmax2d": "softmax",
    "special_softmax": "softmax",
    "clip": "clamp",
    "clamp_": "clamp",
    "clamp_min": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "hstack": "stack",
    "vstack": "stack",
    "dstack": "stack",
    "add_": "add",
    "sub_": "sub",
    "mul_": "mul",
    "div_": "div",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "zeros_like": "zeros",
    "ones_like": "ones",
    "full_like": "full",
    "rand_like": "rand",
    "randn_like": "randn",
    "randint_like": "randint",
    "new_zeros": "zeros",
    "new_ones": "ones",
    "new_full": "full",
    "eq": "compare",
    "ne": "compare",
    "gt": "compare",
    "ge": "compare",
    "lt": "compare",
    "le": "compare",
    "greater": "compare",
    "less": "compare",
    "logical_and": "compare",
    "logical_or": "compare",
    "logical_not": "compare",
}
"""Names that are not the plain name of what they do."""

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "softmax": ("dim",),
    "log_softmax": ("dim",),
    "softmin": ("dim",),
    "gumbel_softmax": ("tau", "hard", "eps", "dim"),
    "argmax": ("dim", "keepdim"),
    "argmin": ("dim", "keepdim"),
    "max": ("dim", "keepdim"),
    "min": ("dim", "keepdim"),
    "clamp": ("min", "max"),
    "one_hot": ("num_classes",),
    "mean": ("dim",),
    "sum": ("dim",),
    "normalize": ("p", "dim"),
    "pow": ("other",),
    "add": ("other",),
    "sub": ("other",),
    "mul": ("other",),
    "div": ("other",),
    "cat": ("dim",),
    "stack": ("dim",),
    "linear": ("in_features", "out_features"),
    "conv1d": ("in_channels", "out_channels"),
    "conv2d": ("in_channels", "out_channels"),
    "conv3d": ("in_channels", "out_channels"),
    "lazy_linear": ("out_features",),
    "full": ("size", "fill_value"),
    "zeros": ("size",),
    "ones": ("size",),
    "rand": ("size",),
    "randn": ("size",),
    "softplus": ("beta",),
}
"""The settings that stand by position, after the tensor where there is one."""

CREATED = frozenset(
    {"zeros", "ones", "full", "rand", "randn", "randint", "empty", "arange", "linspace", "eye", "randperm"}
)
"""Functions of torch whose operands are sizes."""

ELEMENTWISE = frozenset({"sigmoid", "relu", "tanh", "logsigmoid", "softplus", "exp", "log", "compare"})
"""Operations of which each column is one as well."""

PROBABILITIES = frozenset({"softmax", "sigmoid"})

CLASSES = frozenset({"softmax", "log_softmax", "gumbel_softmax", "one_hot"})
"""Operations that make rows of classes, whose columns are something else."""

WRAPPERS = frozenset(
    {
        *("DataParallel", "DistributedDataParallel", "FullyShardedDataParallel", "DDP", "FSDP", "compile", "script"),
        *("trace", "deepcopy", "copy", "to_device", "move_to_device", "to_cuda", "spectral_norm", "weight_norm"),
        *("convert_sync_batchnorm", "AveragedModel", "prepare_model"),
    }
)
"""Functions and Modules that give back their first operand, or something that computes the same."""

MODULE_METHODS = frozenset(
    {
        *("to", "cuda", "cpu", "xpu", "ipu", "mps", "eval", "train", "float", "double", "half", "bfloat16", "type"),
        *("apply", "requires_grad_", "share_memory", "to_empty", "module"),
    }
)
"""Methods of a Module that return it."""

HEADS = ("fc", "classifier", "head", "heads", "_fc", "last_linear")
"""The attributes of pretrained models that are their last layer."""


TRAINERS = frozenset({"create_supervised_trainer", "Learner"})
"""Of other libraries (ignite, fastai): what is given a model and a criterion, and calls one with the other's result."""


def snake(name: str) -> str:
    """The plain name of a layer: BatchNorm2d is batch_norm2d.

    >>> snake("LogSoftmax"), snake("Conv2d"), snake("ReLU"), snake("LeakyReLU"), snake("LogSigmoid")
    ('log_softmax', 'conv2d', 'relu', 'leaky_relu', 'logsigmoid')
    """
    short = {"ReLU": "relu", "ReLU6": "relu6", "LogSigmoid": "logsigmoid", "GELU": "gelu", "SiLU": "silu", "ELU": "elu"}
    if name in short:
        return short[name]
    name = name.replace("ReLU", "Relu").replace("ELU", "Elu")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
