"""CTC: the probability of a label sequence, summed over all its alignments to frames."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.lattice import LabelSequences, Lengths, Steps, active_frames, ctc_nll, given_sequences, lattice
from ..overrides import overridable
from ..reduction import Normalizer, Reduction, plan, reduce


@overridable
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Connectionist temporal classification: how improbable a label sequence is, however it is aligned to the frames.

    An alignment :math:`\pi` gives each of T frames a label or the blank; it stands for the labels :math:`l` that are
    left when repeats and then blanks are dropped. With :math:`y_{t,c}` the log-probability of class c at frame t,

    .. math::
        \ell(y, l) = -\log \sum_{\pi \to l} \exp \sum_t y_{t, \pi_t} \qquad
        \frac{\partial \ell}{\partial y_{t,c}} = -P(\pi_t = c \mid \pi \to l)

    The gradient is the derivative of the value, whatever made the log-probabilities. torch's is right only behind
    log_softmax, for which it already subtracts the softmax; behind log_softmax both give the same gradient. Every
    order of derivative exists.

    A sequence has an alignment if its frames are at least its labels and its adjacent equal labels. One that has none
    gets the loss inf, or 0 with ``zero_infinity``, and a gradient of 0; the other samples are what they are without it.

    Source: Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
    Neural Networks" (ICML 2006).

    Args:
        log_probs: log-probabilities :math:`y` (T, N, C), frames first, or (T, C) for one sample; a floating dtype, as
            log_softmax gives them (:func:`ctc_loss_with_logits` takes scores).
        targets: labels from 0 to C - 1, without blanks: (N, S), each row padded with anything past its length, or all
            samples' labels one after another, (sum of target_lengths).
        input_lengths: how many frames of each sample count, 0 to T: a tensor (N) of any integer dtype, or a tuple of
            ints. Frames past it have a gradient of 0.
        target_lengths: how many labels each sample has, 0 or more; the same.
        blank: the blank's class.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``. As in torch, ``mean`` first divides the loss of each
            sample by its number of labels (at least 1). See :doc:`/reductions`.
        zero_infinity: whether a loss of inf becomes 0.
        sample_weight, mask, normalizer, on_empty: for each sample, (N); see :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that sample's loss is NaN and its gradient 0).
        RuntimeError: a length is negative or longer than what there is (where labels raise, or the same NaN); shapes
            or dtypes that do not go together; blank is no class.
        NotImplementedError: log_probs has no floating dtype.
        ValueError: an unknown reduction.

    >>> import torch, lossmith
    >>> y = torch.full((2, 1, 2), 0.5).log().requires_grad_()  # two frames; the blank and one label, each with 1/2
    >>> loss = lossmith.functional.ctc_loss(y, torch.tensor([[1]]), (2,), (1,))
    >>> round((-loss).exp().item(), 4)  # three of the four alignments give the label: 1 1, 1 blank, blank 1
    0.75
    >>> loss.backward()
    >>> y.grad[:, 0]  # at each frame, two of these three have the label
    tensor([[-0.3333, -0.6667],
            [-0.3333, -0.6667]])
    """
    loss = "ctc_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    batch = _batch(loss, "log_probs", log_probs, blank)
    given = given_sequences(
        loss, targets, input_lengths, target_lengths, batch.shape[1], _of_samples(loss, log_probs, how)
    )
    compute, result = dtypes(log_probs)

    def steps(sequences: LabelSequences) -> Steps:
        def of(batch: Tensor) -> Tensor:
            return ctc_nll(batch.to(compute), sequences.labels, sequences.frames, sequences.lengths, blank)

        return Steps(of, _reduction(loss, log_probs.shape[1:-1], sequences, zero_infinity, how, result))

    return lattice(loss, batch, False, given, blank, log_probs.shape[1:-1], how, zero_infinity, result, steps)


@overridable
def ctc_loss_with_logits(
    logits: Tensor,
    targets: Tensor,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r""":func:`ctc_loss` of scores as a network gives them: log_softmax over the classes is taken inside.

    .. math::
        \ell(x, l) = -\log \sum_{\pi \to l} \prod_t \mathrm{softmax}(x_t)_{\pi_t} \qquad
        \frac{\partial \ell}{\partial x_{t,c}} = \mathrm{softmax}(x_t)_c - P(\pi_t = c \mid \pi \to l)

    Source: as of :func:`ctc_loss`.

    Args:
        logits: scores :math:`x`, (T, N, C) or (T, C), a floating dtype; no softmax before it.
        targets, input_lengths, target_lengths, blank, reduction, zero_infinity: as :func:`ctc_loss`'s.
        sample_weight, mask, normalizer, on_empty: for each sample, (N); see :doc:`/reductions`.

    Raises:
        As :func:`ctc_loss`.

    >>> import torch, lossmith
    >>> x = torch.zeros(2, 1, 2, requires_grad=True)
    >>> lossmith.functional.ctc_loss_with_logits(x, torch.tensor([[1]]), (2,), (1,)).backward()
    >>> x.grad[:, 0]  # 1/2 - 1/3, 1/2 - 2/3
    tensor([[ 0.1667, -0.1667],
            [ 0.1667, -0.1667]])
    """
    loss = "ctc_loss_with_logits"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    batch = _batch(loss, "logits", logits, blank)
    given = given_sequences(
        loss, targets, input_lengths, target_lengths, batch.shape[1], _of_samples(loss, logits, how)
    )
    compute, result = dtypes(logits)

    def steps(sequences: LabelSequences) -> Steps:
        def of(batch: Tensor) -> Tensor:
            batch = batch.to(compute)
            if not sequences.full:
                # what a frame beyond its sample holds, NaN even, must not come back through the softmax
                batch = torch.where(active_frames(batch.shape[0], sequences.frames).unsqueeze(2), batch, 0)
            log_probs = torch.log_softmax(batch, 2)
            return ctc_nll(log_probs, sequences.labels, sequences.frames, sequences.lengths, blank)

        return Steps(of, _reduction(loss, logits.shape[1:-1], sequences, zero_infinity, how, result))

    return lattice(loss, batch, True, given, blank, logits.shape[1:-1], how, zero_infinity, result, steps)


def _batch(loss: str, name: str, scores: Tensor, blank: int) -> Tensor:
    """Scores as (T, N, C), checked."""
    checks.tensor(loss, name, scores)
    if not scores.is_floating_point():
        raise NotImplementedError(
            f"{loss}: {name} is {checks.describe(scores)}, expected a floating dtype; write {name}.float()"
        )
    if scores.dim() not in (2, 3):
        raise RuntimeError(
            f"{loss}: {name} is {checks.describe(scores)}, expected (T, N, C), frames, samples and classes, or (T, C)"
        )
    if scores.shape[0] == 0:
        raise RuntimeError(f"{loss}: {name} must not be empty, got {checks.describe(scores)}, which has no frames")
    if isinstance(blank, bool) or not isinstance(blank, int | torch.SymInt):
        raise TypeError(f"{loss}: blank is {blank!r}, expected the int of a class")
    classes = scores.shape[-1]
    if not 0 <= blank < classes:
        raise RuntimeError(
            f"{loss}: blank must be in label range, got {blank}, expected a class from 0 to {classes - 1} for {name} "
            f"{checks.describe(scores)}"
        )
    return scores if scores.dim() == 3 else scores.unsqueeze(1)


def _of_samples(loss: str, scores: Tensor, how: Reduction) -> Tensor | None:
    """The mask as (N)."""
    checks.fits(loss, "mask", how.mask, scores.shape[1:-1], "the unreduced loss")
    return None if how.mask is None else how.mask.expand(scores.shape[1:-1]).reshape(-1)


def _reduction(
    loss: str,
    shape: torch.Size,
    sequences: LabelSequences,
    zero_infinity: bool,
    how: Reduction,
    result: torch.dtype,
) -> Callable[[Tensor], Tensor]:
    """What makes the result of the losses of the samples (N)."""

    def finish(values: Tensor) -> Tensor:
        if zero_infinity:
            values = torch.where(values == torch.inf, 0, values)
        values = sequences.spoil(values)
        if how.reduction == "mean":
            values = values / sequences.lengths.clamp(min=1)
        return reduce(loss, values.reshape(shape), how, result)

    return finish


class CTCLoss(Criterion, torch.nn.CTCLoss):
    """:func:`lossmith.functional.ctc_loss` as a Module; a :class:`torch.nn.CTCLoss` with weights and masks.

    Args:
        blank, reduction, zero_infinity: as the function's.
        normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> y = torch.zeros(5, 1, 4).log_softmax(2)
    >>> criterion = lossmith.CTCLoss(zero_infinity=True)
    >>> criterion(y, torch.tensor([[1, 1, 2, 2]]), (5,), (4,))  # needs six frames
    tensor(0.)
    """

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
        *,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__(blank, reduction, zero_infinity)
        self._settle(normalizer, on_empty)

    def forward(
        self,
        log_probs: Tensor,
        targets: Tensor,
        input_lengths: Lengths,
        target_lengths: Lengths,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            zero_infinity=self.zero_infinity,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


class CTCWithLogitsLoss(CTCLoss):
    """:func:`lossmith.functional.ctc_loss_with_logits` as a Module; :class:`CTCLoss` of scores.

    Args:
        blank, reduction, zero_infinity: as the function's.
        normalizer, on_empty: defaults for each call, as the function's; a call may give its own.

    >>> import torch, lossmith
    >>> x = torch.randn(5, 1, 4)
    >>> given = torch.tensor([[1, 2]]), (5,), (2,)
    >>> torch.allclose(lossmith.CTCWithLogitsLoss()(x, *given), lossmith.CTCLoss()(x.log_softmax(2), *given))
    True
    """

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        input_lengths: Lengths,
        target_lengths: Lengths,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return ctc_loss_with_logits(
            logits,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            zero_infinity=self.zero_infinity,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _least(
    scores: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int = 0, **_: object
) -> Tensor:
    """Log-probabilities that are sure of one path: a label a frame, a blank between equal ones and at the end."""
    path = torch.full(scores.shape[:2], blank)
    for n, length in enumerate(target_lengths.tolist()):
        frame, previous = 0, None
        for label in targets[n, :length].tolist():
            frame += label == previous
            path[frame, n] = label
            frame, previous = frame + 1, label
    return torch.log(torch.nn.functional.one_hot(path, scores.shape[-1]).to(scores.dtype))


def _traps(short: str, scores: str) -> tuple[Trap, ...]:
    """What goes wrong with log-probabilities and logits alike."""
    return (
        Trap(
            f"{short}-layout",
            Text(
                f"{scores} is (T, N, C), frames first, or (T, C) for one sample; most networks give (N, T, C). The "
                "sizes then seldom fit and it raises, but with N = T it reads frames across samples, and falls all the "
                "same. Write transpose(0, 1).",
                f"{scores} 的形状为 (T, N, C)，时间在前（单个样本为 (T, C)），而多数网络输出 (N, T, C)。"
                "通常尺寸不符会报错，但 N = T 时损失会跨样本读取各帧，而且照样下降。应写 transpose(0, 1)。",
            ),
            rule="ctc-layout",
        ),
        Trap(
            f"{short}-too-few-frames",
            Text(
                "A target needs a frame for each label and one more, a blank, between adjacent equal labels: T >= S + "
                "repeats. 1 1 2 2 takes 6 frames; with 5 its loss is inf and its gradient 0 (NaN in torch). The "
                "mean of the batch is then inf, though the other samples' gradients stay right. zero_infinity=True "
                "makes that loss 0, and hides that the sample is never learned: count such samples, shorten their "
                "targets or reduce time less.",
                "每个标签至少占一帧，相邻相同标签之间还要多一帧 blank：T >= S + 相邻重复数。1 1 2 2 需要 6 帧；"
                "只有 5 帧时损失为 inf、梯度为 0（torch 为 NaN）。"
                "此时整批均值也为 inf，但其他样本的梯度仍然正确。"
                "zero_infinity=True 把它变成 0，同时掩盖了该样本从未被学到：应统计这类样本，缩短目标或减小时间下采样。",
            ),
            rule="ctc-lengths",
        ),
        Trap(
            f"{short}-input-lengths",
            Text(
                "input_lengths counts frames after every stride: a network that halves time twice makes 200 frames of "
                "800. More than T raises, but in a padded batch a length that is too great and still fits trains on "
                "padding in silence. Compute it as the network computes its output.",
                "input_lengths 是经过所有下采样之后的帧数：时间减半两次，800 帧就只剩 200 帧。超过 T 会报错，"
                "但在有填充的批次中，偏大却未超过 T 的长度会悄悄地在填充上训练。应按网络的输出长度公式计算。",
            ),
            rule="ctc-lengths",
        ),
        Trap(
            f"{short}-blank-in-target",
            Text(
                "The blank is no label: with blank = 0 the alphabet begins at 1. A target that holds it, or a "
                "target_length that counts padding of 0, gives a finite loss for a sequence that no decoder can "
                "return. Give true lengths; where the blank is the last class, as for Keras' ctc_batch_cost, write "
                "blank=C - 1.",
                "blank 不是标签：blank = 0 时字母表从 1 开始。目标中含有它，或 target_lengths 把填充的 0 也算进去，"
                "损失仍是有限值，对应的却是解码永远得不到的序列。应传入真实长度；若 blank 是最后一类"
                "（如 Keras 的 ctc_batch_cost），应写 blank=C - 1。",
            ),
            rule="ctc-lengths",
        ),
        Trap(
            f"{short}-mean-by-length",
            Text(
                "mean divides each sample's loss by its number of labels before it averages: 12 nats for 1 label and "
                "12 for 6 labels make (12 + 2) / 2 = 7, so short targets weigh more. batchmean gives the mean of the "
                "samples, 12.",
                "mean 先把每个样本的损失除以其标签数，再求平均：1 个标签损失 12、6 个标签损失 12，得 (12 + 2) / 2 = 7，"
                "短目标因此权重更大。batchmean 给出样本均值 12。",
            ),
        ),
        Trap(
            f"{short}-concatenated-targets",
            Text(
                "Targets are (N, S), padded, or all labels one after another, without padding. A padded batch that "
                "was flattened no longer fits its lengths, and raises here. Leave it (N, S).",
                "targets 可以是带填充的 (N, S)，也可以是所有标签首尾相接、不含填充的一维张量。把带填充的批次展平后，"
                "它与各长度不再相符，这里会报错。应保持 (N, S)。",
            ),
        ),
    )


CROSS_ENTROPY = Sibling(
    "CrossEntropyLoss",
    Text(
        "One label a frame, with the alignment known; CTC sums over all alignments instead.",
        "每帧一个标签、对齐已知；CTC 则对所有对齐求和。",
    ),
)

CARD = Card(
    title=Text("Connectionist temporal classification", "连接时序分类（CTC）"),
    summary=Text(
        "Minus the logarithm of a label sequence's probability, summed over all its alignments to the frames: each "
        "frame shows a label or the blank; repeats, then blanks, are dropped.",
        "标签序列概率的负对数，该概率对它与各帧的所有对齐方式求和："
        "每帧取一个标签或 blank，先合并相邻重复，再去掉 blank。",
    ),
    gradient=Text(
        "At each frame, minus the share of the target's alignments, weighted by probability, that show the class "
        "there; exactly 0 for classes that are not in the target. It is the true derivative, where torch's is right "
        "only behind log_softmax.",
        "在每一帧上，为该帧取此类别的对齐在目标所有对齐中所占概率的相反数；不在目标中的类别恰好为 0。"
        "这是真正的导数，而 torch 的导数只有前面接 log_softmax 时才正确。",
    ),
    robustness=Text(
        "A wrong transcript costs without bound, but pulls with at most 1 a frame. A label that is missing or too "
        "many bends the alignment around it most.",
        "错误的转写代价没有上界，但每帧的拉力至多为 1。多一个或少一个标签，主要扭曲其附近的对齐。",
    ),
    sparsity=Text(
        "Frames beyond input_lengths have a gradient of exactly 0. Predictions become spikes: most frames turn to the "
        "blank, with a peak for each label, so the alignment is no timestamp.",
        "input_lengths 之后的帧梯度恰好为 0。预测会呈尖峰状：多数帧趋于 blank，每个标签只对应一个尖峰，"
        "因此对齐结果不能当作时间戳。",
    ),
    smoothness=Text(
        "Infinitely differentiable where an alignment exists; not convex, as alignments compete.",
        "只要存在对齐就无穷次可导；由于各对齐相互竞争，它不是凸函数。",
    ),
    sensitivity=Text(
        "The frames per label, and which class is the blank. Equal probabilities cost $T \\log C$ "
        "less the logarithm of the number of alignments, T + S - r choose 2 S with r repeats: 28.8 a label for 1000 "
        "frames, 100 labels and 30 classes. A start far from this hints at a wrong layout or length.",
        "取决于每个标签对应的帧数，以及哪一类是 blank。各类等概率时损失为 $T \\log C$ 减去对齐数的对数，"
        "对齐数为从 T + S - r 中取 2 S 的组合数（r 为相邻重复数）：1000 帧、100 个标签、30 类时每个标签 28.8。"
        "起始损失与此相差很远，多半是布局或长度有误。",
    ),
    minimiser=Text(
        "Any probabilities whose every path reads the target, along one alignment or several: loss 0. Several "
        "transcripts of one input have no common statistic: frames are independent, so 1 2 and 2 1, each half of the "
        "time, cost log 4 in two frames, not log 2.",
        "任何使所有路径都读出目标的概率，可沿一种或多种对齐：损失为 0。同一输入有多种转写时没有对应的统计量："
        "各帧相互独立，所以 1 2 与 2 1 各占一半时，两帧的最小损失是 log 4 而不是 log 2。",
    ),
    use=(
        Text(
            "Speech recognition and keyword spotting: many frames, fewer labels in the same order, no alignment known.",
            "语音识别、关键词检测：帧数多、标签少、顺序一致，但对齐未知。",
        ),
        Text(
            "Reading text lines from images (OCR, handwriting), where columns are the frames.",
            "图像文本行识别（OCR、手写体）：以图像的列作为帧。",
        ),
    ),
    avoid=(
        Text(
            "The label of every frame is known: CrossEntropyLoss for each frame.",
            "每一帧的标签已知时：逐帧使用 CrossEntropyLoss。",
        ),
        Text(
            "The output has another order than the input, or may be longer, as in translation: a decoder with "
            "CrossEntropyLoss.",
            "输出与输入顺序不同，或可能比输入更长（如翻译）时：用解码器加 CrossEntropyLoss。",
        ),
    ),
    traps=(
        Trap(
            "ctc-input-not-log",
            Text(
                "log_probs holds log-probabilities. For 50 frames and 30 classes where 14.3 was right, probabilities "
                "give -3.8 and logits -5.0: a negative loss tells. Write log_softmax(logits, dim=-1), or give logits "
                "to CTCWithLogitsLoss.",
                "log_probs 应为对数概率。50 帧、30 类、正确值为 14.3 的例子中，传入概率得 -3.8，传入 logits 得 -5.0："
                "损失为负就是征兆。应写 log_softmax(logits, dim=-1)，或把 logits 交给 CTCWithLogitsLoss。",
            ),
            rule="ctc-input-not-log",
        ),
        *_traps("ctc", "log_probs"),
    ),
    stability=Text(
        "Paths are summed as logarithms, or with exponents of their own: as products, 31 frames of 1/30 are 0 in "
        "float32. A log-probability of $-\\infty$ is an impossible class. Half precision is computed in float32 or "
        "wider.",
        "路径以对数（或自带指数）的形式求和：若直接连乘，31 帧 1/30 在 float32 中就是 0。对数概率 $-\\infty$ 表示不可能"
        "的类别。半精度输入以 float32 或更高精度计算。",
    ),
    activation=Text("log_softmax", "log_softmax"),
    input="(T, N, C), (T, C)",
    target="(N, S), lengths (N)",
    typical=Text("speech recognition, OCR", "语音识别、OCR"),
    siblings=(
        Sibling(
            "CTCWithLogitsLoss",
            Text(
                "The same of logits: log_softmax is inside, so it can't be forgotten.",
                "同一损失，接收 logits：内含 log_softmax，不会漏写。",
            ),
        ),
        CROSS_ENTROPY,
    ),
    sources=(
        'Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent '
        'Neural Networks", ICML (2006)',
        'Shi, Bai and Yao, "An End-to-End Trainable Neural Network for Image-Based Sequence Recognition and Its '
        'Application to Scene Text Recognition", IEEE TPAMI 39 (2017)',
    ),
    curve=None,
    aliases=("ctc", "ctc_batch_cost", "connectionist_temporal_classification"),
)

CARD_WITH_LOGITS = replace(
    CARD,
    title=Text("Connectionist temporal classification with logits", "接收 logits 的连接时序分类（CTC）"),
    gradient=Text(
        "At each frame, the softmax minus the share of the target's alignments, weighted by probability, that show "
        "the class there: each class is pulled to how often the target's alignments need it.",
        "在每一帧上，为 softmax 减去该帧取此类别的对齐在目标所有对齐中所占的概率：各类别被拉向目标对齐所需的比例。",
    ),
    robustness=Text(
        "A wrong transcript costs without bound, but pulls with at most $\\sqrt 2$ a frame. A label that is missing "
        "or too many bends the alignment around it most.",
        "错误的转写代价没有上界，但每帧的拉力至多为 $\\sqrt 2$。多一个或少一个标签，主要扭曲其附近的对齐。",
    ),
    traps=(
        Trap(
            "ctc-with-logits-softmax-first",
            Text(
                "A softmax before it is a second one: of 30 classes none gets more than 0.086, and 5 labels in 10 "
                "frames, known for certain, cost 4.25 a label where knowing nothing costs 5.20. Give the logits "
                "(log_softmax before it changes nothing).",
                "前面再接 softmax 就做了两次：30 个类别中没有一个能超过 0.086；10 帧中的 5 个标签即使预测得完全确定，"
                "每个标签也要 4.25，而一无所知时是 5.20。应直接传入 logits（前面接 log_softmax 则没有影响）。",
            ),
            rule="softmax-into-cross-entropy",
        ),
        *_traps("ctc-with-logits", "logits"),
    ),
    activation=Text("none (logits)", "无（logits）"),
    siblings=(
        Sibling(
            "CTCLoss",
            Text(
                "The same of log-probabilities, as torch has it: for models that end in log_softmax.",
                "同一损失，接收对数概率，与 torch 一致：用于以 log_softmax 结尾的模型。",
            ),
        ),
        CROSS_ENTROPY,
    ),
    aliases=("ctc_with_logits", "warp_ctc", "warpctc"),
)


LOSSES = (
    Loss(
        function=ctc_loss,
        module=CTCLoss,
        family="distributions and sequences",
        facts=Facts(
            convex=False,
            lipschitz=lambda log_probs, **_: float(log_probs.shape[0] ** 0.5),
            prediction="log-probabilities",
            target="label sequences",
            minimiser=lambda log_probs, **arguments: _least(log_probs, **arguments),
            denominator="samples",
            smooth=True,
            optimum=None,
        ),
        card=CARD,
    ),
    Loss(
        function=ctc_loss_with_logits,
        module=CTCWithLogitsLoss,
        family="distributions and sequences",
        facts=Facts(
            convex=False,
            lipschitz=lambda logits, **_: float((2 * logits.shape[0]) ** 0.5),
            prediction=REALS,
            target="label sequences",
            minimiser=lambda logits, **arguments: _least(logits, **arguments),
            denominator="samples",
            smooth=True,
            optimum=None,
        ),
        card=CARD_WITH_LOGITS,
    ),
)
