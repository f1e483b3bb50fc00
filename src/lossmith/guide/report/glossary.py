"""The words that the report uses, each in a sentence, for those who meet them first."""

from ...card import Text

GLOSSARY = (
    (
        Text("loss", "损失"),
        Text(
            "The number that training makes small: how wrong a prediction is for a row. Which loss one takes decides "
            "what the network learns to predict, and which rows it listens to.",
            "训练所要减小的数：一个样本的预测错了多少。选哪个损失，决定了网络学会预测什么，以及更听从哪些样本。",
        ),
    ),
    (
        Text("gradient, pull", "梯度、拉力"),
        Text(
            "The slope of the loss in the network's output. Its size is how hard a row pulls the network its way, its "
            "sign the direction.",
            "损失对网络输出的斜率。其大小是该样本拉动网络的力度，符号是方向。",
        ),
    ),
    (
        Text("residual, error", "残差、误差"),
        Text(
            "What is left between prediction and target. Here errors are prediction minus target, and each prediction "
            "comes from a network that was not trained on the row.",
            "预测与目标之间的差。本页的误差指预测减目标，且预测来自未用该样本训练的网络。",
        ),
    ),
    (
        Text("outlier", "离群点"),
        Text(
            "A row much farther off than the rest: a slip of the pen, or a rare event. Some losses let it pull the "
            "harder the farther it is off.",
            "远远偏离其余数据的样本：可能是笔误，也可能是罕见事件。有些损失会让它偏得越远、拉力越大。",
        ),
    ),
    (
        Text("logit, log-odds", "logit、对数几率"),
        Text(
            "A probability p written as log(p / (1 − p)): 0 is one half, 3 is 95 %, −3 is 5 %. Networks put out "
            "logits, since these have no bounds.",
            "把概率 p 写成 log(p / (1 − p))：0 表示 50%，3 约为 95%，−3 约为 5%。它没有上下界，因此网络直接输出 "
            "logit。",
        ),
    ),
    (
        Text("fold, cross-validation", "折、交叉验证"),
        Text(
            "The rows are dealt into parts of equal size, the folds. Each is predicted by a network that learned from "
            "the others. Repeated with other deals, this shows how much a figure depends on luck.",
            "把样本分成大小相等的若干折，每一折由用其余各折训练的网络来预测。换一种分法重复多次，"
            "就能看出结果有多少取决于运气。",
        ),
    ),
    (
        Text("out of fold", "折外"),
        Text(
            "Of a row that the network did not learn from: an honest prediction.",
            "指网络没有用来训练的样本上的预测，因而是诚实的预测。",
        ),
    ),
    (
        Text("95 % interval", "95% 区间"),
        Text(
            "A range made by a rule that catches the true value 19 times out of 20. Intervals here allow for folds "
            "that share training rows. Two losses whose difference has 0 in its interval can't be told apart by these "
            "data.",
            "按一种规则得到的范围，20 次中有 19 次会包含真实值。这里的区间已考虑各折共用训练样本。若差值的区间包含 0，"
            "说明这份数据分不出两个损失的高下。",
        ),
    ),
    (
        Text("epoch", "轮次"),
        Text("One pass of training over all rows.", "对全部训练样本的一遍训练。"),
    ),
    (
        Text("standardised", "标准化"),
        Text(
            "Less its centre and divided by its spread, so that it is about 0 and about as large as 1: networks learn "
            "such numbers best.",
            "减去中心再除以离散程度，使数值以 0 为中心、大小约为 1：网络最容易学习这样的数。",
        ),
    ),
    (
        Text("robust standard deviation", "稳健标准差"),
        Text(
            "1.4826 times the median distance from the median: the standard deviation where values are normal, and "
            "hardly moved by outliers.",
            "到中位数的距离的中位数乘以 1.4826：数据正态时等于标准差，又几乎不受离群点影响。",
        ),
    ),
    (
        Text("likelihood (NLL)", "似然（NLL）"),
        Text(
            "How probable a prediction with its uncertainty made what then came. NLL is the negative logarithm: less "
            "is better.",
            "带不确定度的预测赋予实际结果多大的概率。NLL 是它的负对数：越小越好。",
        ),
    ),
    (
        Text("interval coverage", "区间覆盖率"),
        Text(
            "How many rows fall into the interval that was predicted for them. An honest 90 % interval holds 90 % of "
            "the rows, not fewer and not more.",
            "有多少样本落在为其预测的区间内。诚实的 90% 区间恰好包含 90% 的样本，不多也不少。",
        ),
    ),
    (
        Text("calibration", "校准"),
        Text(
            "Whether what is predicted with 80 % comes true in 80 % of the rows.",
            "以 80% 的概率预测的事，是否确有 80% 成真。",
        ),
    ),
    (
        Text("candidate", "候选损失"),
        Text(
            "A loss that fits the form of the target and is tried: the recommended one and those that one might take "
            "instead.",
            "与目标形式相符、因而参加实验的损失：推荐的一个，以及可能替代它的几个。",
        ),
    ),
    (
        Text("skewed classes", "类别不平衡"),
        Text(
            "Some classes have far more rows than others, so that a network can look good by never naming the rare "
            "ones.",
            "某些类别的样本远多于其他类别，网络即使从不预测罕见类，看上去也不错。",
        ),
    ),
)
