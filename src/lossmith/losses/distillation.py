"""Knowledge distillation: a student's logits against a teacher's, softened by a temperature, mixed with labels."""

import math
from typing import Any

import torch
from torch import Tensor

from .. import checks
from ..backend import dtypes
from ..card import Card, Curve, Sibling, Text, Trap
from ..criterion import Criterion
from ..facts import REALS, Facts, Loss
from ..loops.masking import hide_rows
from ..loops.rowwise import (
    ClassLabels,
    Distillation,
    Divergence,
    Steps,
    class_labels,
    rowwise,
    softened_divergence,
    softmax_with_labels,
)
from ..overrides import overridable
from ..reduction import Normalizer, plan, reduce


@overridable
def distillation_loss(
    input: Tensor,
    teacher: Tensor,
    target: Tensor | None = None,
    temperature: float = 2.0,
    alpha: float | None = None,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    divergence: Divergence = "forward",
    reduction: str = "mean",
    *,
    beta: float = 0.5,
    dim: int | None = None,
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
    normalizer: Normalizer = None,
    on_empty: str = "nan",
) -> Tensor:
    r"""Distillation of a teacher's logits :math:`v` into a student's :math:`z`, both softened by a temperature
    :math:`T`, and the student's cross-entropy against labels :math:`y`.

    .. math::
        \ell(z, v, y) = \alpha\, T^2\, D(q, p) - (1 - \alpha)\, w_y \log \mathrm{softmax}(z)_y \qquad
        q = \mathrm{softmax}(v / T),\quad p = \mathrm{softmax}(z / T)

    .. math::
        D(q, p) = \begin{cases}
            \sum_c q_c \log (q_c / p_c) & \text{forward} \\
            \sum_c p_c \log (p_c / q_c) & \text{reverse} \\
            \beta \sum_c q_c \log (q_c / m_c) + (1 - \beta) \sum_c p_c \log (p_c / m_c),\;
            m = \beta q + (1 - \beta) p & \text{js}
        \end{cases}

    Of ``forward``, :math:`\partial (T^2 D) / \partial z = T (p - q)`. That shrinks as :math:`1 / T`, and :math:`p - q`
    as :math:`1 / T` again, which is what :math:`T^2` makes up for: for large :math:`T` the gradient of a row of C
    logits tends to :math:`((z - \bar z) - (v - \bar v)) / C`, so that logits are matched.

    A class with :math:`q_c = 0` costs nothing in ``forward``, whatever the student's logit is, :math:`-\infty`
    included; one with :math:`p_c = 0` costs nothing in ``reverse``. The divergence comes from differences of logits:
    of a student that nearly agrees with its teacher it is exact to 4 ulp of :math:`\sum q\,|\log (q / p)|`.

    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015), section
    2, equations (1) to (4). reverse: Gu et al., "MiniLLM: Knowledge Distillation of Large Language Models", ICLR
    (2024). js: Agarwal et al., "On-Policy Distillation of Language Models", ICLR (2024), section 2.

    Args:
        input: the student's logits :math:`z`: (C), (N, C) or (N, C, d1, ...); a floating dtype; no softmax before it.
        teacher: the teacher's logits :math:`v`, of the same shape. A gradient flows to them if they want one; a
            teacher that is not to learn runs under torch.no_grad().
        target: labels from 0 to C - 1 of any integer dtype, with the input's shape less the class dimension; without
            them there is the divergence alone.
        temperature: :math:`T` > 0, of both sides; the labels' term has none.
        alpha: the share of the divergence, from 0 to 1; by default 0.5, or 1 without labels.
        weight: a weight for each class, (C), in the labels' term alone.
        ignore_index: a label that leaves its whole row out, the divergence too.
        divergence: ``forward``, ``reverse`` or ``js``.
        reduction: ``none``, ``mean``, ``sum`` or ``batchmean``; of rows. See :doc:`/reductions`.
        beta: the teacher's share in the mixture of ``js``, between 0 and 1: forward (times beta) as it tends to 0,
            reverse (times 1 - beta) as it tends to 1.
        dim: the class dimension; by default 1, or 0 for a row without a batch.
        sample_weight, mask, normalizer, on_empty: per row (they broadcast to the unreduced loss); see
            :doc:`/reductions`.

    Raises:
        IndexError: a label is out of range (CPU, eager; elsewhere that row's loss is NaN and its gradient 0).
        ValueError: the shapes of input and teacher differ; a temperature, alpha, beta or divergence that does not
            exist; an alpha or class weights that need labels.
        RuntimeError: other shapes or dtypes that do not go together.

    >>> import torch, lossmith
    >>> student = torch.tensor([[0.0, 0.0]], requires_grad=True)
    >>> teacher = torch.tensor([[2 * torch.tensor(3.0).log(), 0.0]])
    >>> loss = lossmith.functional.distillation_loss(student, teacher, temperature=2.0)
    >>> round(loss.item(), 4)  # 2**2 * (0.75 log(0.75 / 0.5) + 0.25 log(0.25 / 0.5))
    0.5232
    >>> loss.backward()
    >>> student.grad  # 2 * (p - q)
    tensor([[-0.5000,  0.5000]])
    >>> loss = lossmith.functional.distillation_loss(student, teacher, torch.tensor([0]), alpha=0.25)
    >>> round(loss.item(), 4)  # 0.25 * 0.5232 + 0.75 * log 2
    0.6507
    """
    loss = "distillation_loss"
    how = plan(loss, reduction, sample_weight, mask, normalizer, on_empty)
    _check_settings(loss, temperature, alpha, divergence, beta)
    checks.tensor(loss, "teacher", teacher)
    dim = checks.class_dim(loss, input, teacher, dim, True)
    if input.shape != teacher.shape:
        raise ValueError(
            f"{loss}: student and teacher must have logits of one shape, for the same classes in the same order, got "
            f"{checks.shapes(input=input, teacher=teacher)}; cut what only one has, such as "
            f"teacher.narrow({dim}, 0, {input.shape[dim]}) of a padded vocabulary"
        )
    if target is None:
        if alpha not in (None, 1):
            raise ValueError(
                f"{loss}: alpha={alpha!r} mixes the divergence with the loss of labels, but there is no target; give "
                f"target=, or leave alpha out"
            )
        if weight is not None:
            raise ValueError(
                f"{loss}: weight is of the classes of labels, but there is no target; give target=, or write "
                f"sample_weight= for weights of rows"
            )
    else:
        checks.class_weight(loss, weight, input, dim)
        advice = "for soft targets add cross_entropy(input, target) to this loss without a target"
        target = checks.label_shape(loss, input, target, dim, advice)
    compute, result = dtypes(input, teacher)
    classes = input.shape[dim]
    if classes == 1:
        checks.single_logit(loss, input, dim)
    share = alpha if alpha is not None else 1.0 if target is None else 0.5
    mixed = Distillation(target, divergence, float(temperature), float(share), float(beta))

    def steps() -> Steps:
        per_class = None if weight is None else weight.to(compute)

        def read(teacher: Tensor) -> tuple[Tensor, ClassLabels | None]:
            labels = None if target is None else class_labels(loss, target, classes, how.mask, ignore_index)
            return teacher, labels

        def of(input: Tensor, aims: tuple[Tensor, ClassLabels | None]) -> Tensor:
            teacher, labels = aims
            used = how.mask if labels is None else labels.used
            student, taught = (hide_rows(rows.to(compute), used, 0.0, dim=dim) for rows in (input, teacher))
            values = student.new_zeros(())
            if mixed.alpha > 0:
                soft = softened_divergence(student, taught, dim, mixed)
                values = values + mixed.alpha * mixed.temperature**2 * soft
            if labels is not None and mixed.alpha < 1:
                values = values + (1 - mixed.alpha) * softmax_with_labels(student, labels, dim, per_class, 0.0)
            return values if labels is None else labels.spoil(values)

        def finish(values: Tensor, aims: tuple[Tensor, ClassLabels | None]) -> Tensor:
            labels = aims[1]
            if labels is None:
                return reduce(loss, values, how, result)
            of_label = None if per_class is None else labels.pick(per_class)
            return reduce(loss, values, how, result, counted=labels.counted, weight=of_label)

        return Steps(read, of, finish)

    return rowwise(
        loss,
        "distillation",
        input,
        teacher,
        dim,
        how,
        (compute, result),
        steps,
        weight=weight,
        ignore_index=None if target is None else ignore_index,
        distillation=mixed,
    )


def _check_settings(loss: str, temperature: float, alpha: float | None, divergence: str, beta: float) -> None:
    if not 0 < temperature < math.inf:
        raise ValueError(f"{loss}: temperature is {temperature!r}, expected a finite number above 0; 2 to 5 is usual")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(
            f"{loss}: alpha is {alpha!r}, expected a share from 0 (labels alone) to 1 (the teacher alone); 0.5 is usual"
        )
    if divergence not in ("forward", "reverse", "js"):
        raise ValueError(f"{loss}: divergence is {divergence!r}, expected one of 'forward', 'reverse', 'js'")
    if not 0 < beta < 1:
        raise ValueError(
            f"{loss}: beta is {beta!r}, expected the teacher's share in the mixture, above 0 and below 1; for the ends "
            f"write divergence='forward' or divergence='reverse'"
        )


class DistillationLoss(Criterion, torch.nn.Module):
    """:func:`lossmith.functional.distillation_loss` as a Module, called with student, teacher and perhaps labels.

    Args:
        temperature, alpha, weight, ignore_index, divergence, reduction, beta, dim: as the function's.
        normalizer, on_empty: defaults for each call; a call may give its own.

    >>> import torch, lossmith
    >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
    >>> lossmith.DistillationLoss(temperature=4.0)(logits, logits + 5)  # softmax does not see what all logits share
    tensor(0.)
    """

    weight: Tensor | None

    def __init__(
        self,
        temperature: float = 2.0,
        alpha: float | None = None,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        divergence: Divergence = "forward",
        reduction: str = "mean",
        *,
        beta: float = 0.5,
        dim: int | None = None,
        normalizer: Normalizer = None,
        on_empty: str = "nan",
    ) -> None:
        super().__init__()
        _check_settings(type(self).__name__, temperature, alpha, divergence, beta)
        self.temperature, self.alpha, self.divergence, self.beta = temperature, alpha, divergence, beta
        self.register_buffer("weight", weight)
        self.ignore_index, self.dim, self.reduction = ignore_index, dim, reduction
        self._settle(normalizer, on_empty)

    def forward(
        self,
        input: Tensor,
        teacher: Tensor,
        target: Tensor | None = None,
        *,
        sample_weight: Tensor | None = None,
        mask: Tensor | None = None,
        normalizer: Normalizer = None,
        on_empty: str | None = None,
    ) -> Tensor:
        return distillation_loss(
            input,
            teacher,
            target,
            self.temperature,
            self.alpha,
            self.weight,
            self.ignore_index,
            self.divergence,
            beta=self.beta,
            dim=self.dim,
            **self._reduction(sample_weight, mask, normalizer, on_empty),
        )


def _steepest(
    temperature: float = 2.0, alpha: float | None = None, target: Tensor | None = None, **others: Any
) -> float:
    """Both terms pull hardest where the student is sure of one class, and teacher and label of another."""
    soft = alpha if alpha is not None else 1.0 if target is None else 0.5
    divergence, rest = others.get("divergence", "forward"), 1 - others.get("beta", 0.5)
    # of js log(p / m) <= log(1 / (1 - beta)), and the mean of it over p is not negative
    factor = 1.0 if divergence == "forward" else math.inf if divergence == "reverse" else -rest * math.log(rest)
    return float(2**0.5 * (soft * temperature * factor + 1 - soft))


def _least(
    input: Tensor,
    teacher: Tensor,
    target: Tensor | None = None,
    temperature: float = 2.0,
    alpha: float | None = None,
    divergence: str = "forward",
    dim: int | None = None,
    **others: object,
) -> Tensor:
    """The teacher's logits; with labels, those at which both pulls cancel.

    There aT p_T + (1 - a) p_1 = aT q + (1 - a) y, where p_T is the softened softmax. Each step takes off what the
    logarithms of both sides differ by; it contracts, since its derivatives are not negative and sum to 1.
    """
    if target is None or alpha == 1:
        return teacher
    if divergence != "forward":
        raise NotImplementedError("of a loss that is not convex")
    dim = dim if dim is not None else 0 if input.dim() == 1 else 1
    soft = 0.5 if alpha is None else alpha
    hot = torch.nn.functional.one_hot(target, input.shape[dim]).movedim(-1, dim)
    wanted = torch.log(soft * temperature * torch.softmax(teacher / temperature, dim) + (1 - soft) * hot)
    logits = wanted
    for _ in range(500):
        given = torch.logaddexp(
            math.log(soft * temperature) + torch.log_softmax(logits / temperature, dim),
            math.log1p(-soft) + torch.log_softmax(logits, dim),
        )
        logits = torch.where(wanted == -torch.inf, wanted, logits + min(temperature, 1.0) * (wanted - given))
    return logits


def _against_a_rival(divergence: str) -> Any:
    """Rows of two classes: the student's logit of the first is x, the teacher's 2; those of the other are 0."""

    def arguments(x: Tensor) -> dict[str, Any]:
        nothing = torch.zeros_like(x)
        rows = {"input": torch.stack([x, nothing], 1), "teacher": torch.stack([nothing + 2, nothing], 1)}
        return {**rows, "temperature": 1.0, "divergence": divergence}

    return arguments


CARD = Card(
    title=Text("Knowledge distillation", "知识蒸馏损失"),
    summary=Text(
        "How far a student's softened probabilities are from a teacher's, times $T^2$, mixed with the student's "
        "cross-entropy against labels: what the teacher thinks of the wrong classes is learned too.",
        "学生网络软化后的概率偏离教师网络的程度，乘以 $T^2$，再与学生对标签的交叉熵混合："
        "教师对各个错误类别的判断也一并学到。",
    ),
    gradient=Text(
        "$\\alpha T (p - q) + (1 - \\alpha)(p_1 - y)$: the softened probabilities of student and teacher, and the "
        "student's unsoftened ones and the label (`forward`). For large T the first part is "
        "$\\alpha (z - v) / C$, each side less its mean.",
        "$\\alpha T (p - q) + (1 - \\alpha)(p_1 - y)$：前者是学生与教师软化概率之差，后者是学生未软化的概率与标签之差"
        "（`forward`）。T 很大时前一部分趋于 $\\alpha (z - v) / C$，其中 logits 各自减去均值。",
    ),
    robustness=Text(
        "Wrong labels count for $1 - \\alpha$ only, and a teacher that doubts them pulls back; but a teacher that is "
        "wrong is copied, however sure it is. The pull of a row is at most $\\sqrt 2 (\\alpha T + 1 - \\alpha)$ under "
        "`forward`, bounded under `js`, unbounded under `reverse`.",
        "错误标签只占 $1 - \\alpha$，而对其存疑的教师会把学生拉回；但教师若判断错误，学生也会照学，无论它多么确信。"
        "每行的拉力在 `forward` 下不超过 $\\sqrt 2 (\\alpha T + 1 - \\alpha)$，在 `js` 下有界，在 `reverse` 下无界。",
    ),
    sparsity=Text(
        "None: every class of the teacher's tail is a target of its own. Only agreement makes the gradient of the "
        "divergence 0.",
        "无稀疏性：教师分布尾部的每个类别都是目标。只有完全一致时散度的梯度才为 0。",
    ),
    smoothness=Text(
        "Infinitely differentiable. `forward` is convex in the student's logits, as cross-entropy is; `reverse` and "
        "`js` are not.",
        "无穷次可导。`forward` 对学生的 logits 是凸的（与交叉熵一样）；`reverse` 与 `js` 不是。",
    ),
    sensitivity=Text(
        "The temperature: at T = 1 the teacher's likeliest classes count, from about 5 on differences of logits do, "
        "the noise of unlikely classes with them. Then alpha, and the direction: `forward` spreads over all that the "
        "teacher holds possible, `reverse` settles on what it prefers.",
        "温度：T = 1 时起作用的是教师认为最可能的类别；约从 5 起则是 logits 之差，连同不可能类别中的噪声。"
        "其次是 alpha 与散度方向：`forward` 铺满教师认为可能的一切，`reverse` 收缩到它偏好的类别。",
    ),
    minimiser=Text(
        "Without labels the teacher's logits, up to a constant, and there it is 0. With labels something between the "
        "teacher and the label, which is not 0.",
        "没有标签时是教师的 logits（可加任意常数），此时损失为 0。有标签时介于教师与标签之间，损失不为 0。",
    ),
    use=(
        Text(
            "A small network that is to do what a large one does: classifiers, detectors, speech.",
            "让小网络做到大网络所能做的事：分类、检测、语音。",
        ),
        Text(
            "Language models: logits (N, T, C) with dim=-1, labels with -100 for padding; `reverse` or `js` where the "
            "student is too small to cover all that the teacher may say.",
            "语言模型：logits (N, T, C) 配 dim=-1，填充处标签为 -100；"
            "若学生太小、无法覆盖教师可能说的一切，则用 `reverse` 或 `js`。",
        ),
        Text(
            "Data without labels, which the teacher labels: leave target out.",
            "没有标签的数据，由教师充当标签：不传 target 即可。",
        ),
        Text(
            "A network and its own past or averaged weights: self-distillation, and forgetting less when training goes "
            "on with other data.",
            "网络与它过去的（或平均的）权重：自蒸馏，以及在新数据上继续训练时减少遗忘。",
        ),
    ),
    avoid=(
        Text(
            "Classes that do not exclude each other: a teacher of sigmoids is matched by BCEWithLogitsLoss with its "
            "probabilities as targets.",
            "类别并不互斥时：对于用 sigmoid 的教师，应以其概率为目标使用 BCEWithLogitsLoss。",
        ),
        Text(
            "Features, regression: there is no softmax to soften; take MSELoss or CosineEmbeddingLoss.",
            "特征匹配与回归：没有可软化的 softmax，应使用 MSELoss 或 CosineEmbeddingLoss。",
        ),
        Text(
            "A teacher that was trained with label smoothing: it has rubbed out how the wrong classes differ.",
            "用标签平滑训练的教师：它已抹去各错误类别之间的差别。",
        ),
    ),
    traps=(
        Trap(
            "distillation-teacher-gradient",
            Text(
                "A teacher that is not detached gets a gradient too, and moves towards its student; its activations "
                "are kept for that besides. Run it under torch.no_grad(), and in eval mode: with dropout it "
                "contradicts itself.",
                "未分离的教师也会得到梯度，并向学生靠拢，其激活值还会为此一直占用内存。"
                "应在 torch.no_grad() 下并以 eval 模式运行教师：开着 dropout，它的输出前后矛盾。",
            ),
            rule="teacher-not-detached",
        ),
        Trap(
            "distillation-probabilities",
            Text(
                "Both sides are logits. Probabilities instead are softened once more and are nearly uniform: of 10 "
                "classes at T = 2, a teacher who is sure gives 0.155 to its class and 0.094 to the others. "
                "Log-probabilities are fine: softmax does not see what all logits share.",
                "两边都应是 logits。若传入概率，会再软化一次而接近均匀：10 个类别、T = 2 时，"
                "完全确信的教师给自己的类别 0.155，给其余类别 0.094。"
                "传入对数概率则无妨：softmax 看不到所有 logits 共有的常数。",
            ),
            rule="softmax-into-cross-entropy",
        ),
        Trap(
            "distillation-temperature-squared",
            Text(
                "$T^2$ is inside. Code that multiplies by it once more gives the teacher 16 times its share at T = 4; "
                "code that leaves it out, as a bare kl_div of softened logits does, gives it a 16th. A check for both: "
                "the loss without labels hardly changes with T when T is large.",
                "$T^2$ 已包含在内。若再乘一次，T = 4 时教师的比重是应有的 16 倍；"
                "若漏乘（例如直接对软化的 logits 用 kl_div），则只有 16 分之一。"
                "检验方法：T 较大时，无标签的损失几乎不随 T 变化。",
            ),
        ),
        Trap(
            "distillation-alpha-side",
            Text(
                "alpha is the teacher's share here, as in most code for torch. In Keras, student_loss_weight of "
                "Distiller is the labels' share, and so was the alpha of its older example: its 0.1 is 0.9 here. "
                "Its LogitsDistillation, given the loss by name, as it is by default, forgets both softmaxes (version "
                "3.15); given a KLDivergence object it is this loss without labels.",
                "这里的 alpha 是教师的比重，与多数 torch 代码一致。"
                "Keras 的 Distiller 中 student_loss_weight 是标签的比重，"
                "其旧示例中的 alpha 也是：那里的 0.1 相当于这里的 0.9。"
                "其 LogitsDistillation 若按名称指定损失（默认如此），会漏掉两边的 softmax（3.15 版）；"
                "传入 KLDivergence 对象时才等于这里的无标签损失。",
            ),
        ),
        Trap(
            "distillation-mean-of-classes",
            Text(
                "Rows are averaged, and classes summed. By hand, kl_div with the mean divides by the classes as well: "
                "of 1000 classes the teacher has a thousandth of its share, so an alpha tuned with it does not carry "
                "over. torch's batchmean of (N, T, C) is T times too large instead.",
                "按行平均，对类别求和。手写的 kl_div 若取 mean，会再除以类别数：1000 个类别时教师只剩千分之一的比重，"
                "在那里调好的 alpha 不能照搬。torch 的 batchmean 对 (N, T, C) 则大了 T 倍。",
            ),
        ),
        Trap(
            "distillation-ignored-rows",
            Text(
                "A row with ignore_index is left out whole, the teacher's part too, as padding must be. For rows that "
                "have a teacher but no label, call the loss a second time without target.",
                "带 ignore_index 的行会整行略去，包括教师的一项，填充正应如此。"
                "若某些行有教师而没有标签，应不带 target 另外调用一次。",
            ),
        ),
        Trap(
            "distillation-swapped",
            Text(
                "Student and teacher have one shape, so the swapped call passes: with labels the teacher is trained on "
                "them, or nothing is, since it has no gradient. The student comes first.",
                "学生与教师形状相同，写反也能运行：有标签时训练的是教师；教师没有梯度时则什么也没训练。学生应在前。",
            ),
            rule="swapped-arguments",
        ),
        Trap(
            "distillation-class-order",
            Text(
                "Class c must be the same for both. Two tokenizers, or label files in another order, agree in number "
                "and not in meaning, and nothing tells.",
                "两边的第 c 类必须是同一类。两个分词器，或顺序不同的标签文件，数目相符而含义不同，却没有任何报错。",
            ),
        ),
        Trap(
            "distillation-reverse-minus-infinity",
            Text(
                "A teacher's logit of $-\\infty$ (a forbidden token) costs nothing under `forward`; under `reverse` it "
                "is infinitely dear, as the student never gives it exactly 0. Mask the student's logits likewise, or "
                "take `js`, whose cost is bounded.",
                "教师的 logit 为 $-\\infty$（禁用的词元）在 `forward` 下没有代价；在 `reverse` 下则代价无穷大，"
                "因为学生的概率不会恰好为 0。应同样遮蔽学生的 logits，或改用代价有界的 `js`。",
            ),
        ),
    ),
    stability=Text(
        "Logarithms come from logits, never from softmax, and their ratio from differences of logits, so that a "
        "student close to its teacher is measured exactly where kl_div of two log_softmax is left with rounding. A "
        "class that can't happen adds 0. Half precision is computed in float32.",
        "对数由 logits 直接得出，不经过 softmax；概率之比的对数取自 logits 之差，因此学生接近教师时结果仍然精确，"
        "而对两个 log_softmax 求 kl_div 只剩舍入误差。不可能发生的类别贡献为 0。半精度以 float32 计算。",
    ),
    activation=Text("none (logits), on both sides", "两边均无（logits）"),
    input="(C), (N, C, *)",
    target="(), (N, *) int; none",
    typical=Text("a small network from a large one", "由大网络训练小网络"),
    siblings=(
        Sibling(
            "KLDivLoss",
            Text(
                "The divergence alone, element by element, from log-probabilities: softening, $T^2$, labels and the "
                "mean of rows are left to you.",
                "只有散度本身，逐元素、接收对数概率：软化、$T^2$、标签与按行平均都要自己做。",
            ),
        ),
        Sibling(
            "CrossEntropyLoss",
            Text(
                "With the teacher's probabilities as soft targets it has the same gradient as the divergence, and does "
                "not end at 0; with labels it is the other term.",
                "以教师概率为软目标时，梯度与散度相同，但最小值不为 0；以标签为目标时就是另外一项。",
            ),
        ),
        Sibling(
            "MSELoss",
            Text(
                "Between logits less their means: what distillation tends to at high temperature, but for a factor.",
                "对减去均值的 logits 而言：相差一个系数，这正是高温极限下的蒸馏。",
            ),
        ),
    ),
    sources=(
        'Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531 (2015)',
        'Gu, Dong, Wei and Huang, "MiniLLM: Knowledge Distillation of Large Language Models", ICLR (2024)',
        'Agarwal et al., "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", '
        "ICLR (2024)",
        'Müller, Kornblith and Hinton, "When Does Label Smoothing Help?", NeurIPS (2019)',
    ),
    curve=Curve(
        Text("student's logit; the teacher's is 2, a rival's 0", "学生的 logit（教师为 2，另一类别为 0）"),
        (-4.0, 8.0),
        {f"divergence = {name}": _against_a_rival(name) for name in ("forward", "reverse", "js")},
    ),
    aliases=(
        "kd",
        "kd_loss",
        "knowledge_distillation",
        "distill",
        "distillation_kl",
        "logits_distillation",
        "soft_targets",
        "gkd",
        "minillm",
        "reverse_kl",
    ),
)


LOSS = Loss(
    function=distillation_loss,
    module=DistillationLoss,
    family="distributions and sequences",
    facts=Facts(
        convex=lambda divergence="forward", **_: divergence == "forward",
        lipschitz=_steepest,
        prediction=REALS,
        target=lambda target=None, **_: "none" if target is None else "labels",
        minimiser=_least,
        denominator="rows",
        smooth=True,
        optimum=None,
    ),
    card=CARD,
)
