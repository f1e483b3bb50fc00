"""What the guard found."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from ..card import Language, Text
from ..rule import Rule, Severity

_LINE = Text("{code} {rule}: {message} Evidence: {evidence}. {fix}", "{code} {rule}：{message}证据：{evidence}。{fix}")


@dataclass(frozen=True)
class Finding:
    """A loss that is held wrongly, at one place of the program."""

    rule: str
    """The rule's name, as `softmax-into-cross-entropy`."""
    code: str
    severity: Severity
    message: str
    """What is done."""
    evidence: str
    """What was seen of it."""
    where: str
    """`file:line` of the caller."""
    fix: str
    """What to write instead."""
    language: Language = field(default="en", repr=False)

    def __str__(self) -> str:
        return _LINE(self.language).format(**asdict(self))

    @classmethod
    def of(cls, rule: Rule, evidence: Text, where: str, loss: str, language: Language) -> "Finding":
        return cls(
            rule=rule.name,
            code=rule.code,
            severity=rule.severity_of(loss),
            message=rule.what(language),
            evidence=evidence(language),
            where=where,
            fix=rule.fix(language),
            language=language,
        )


@dataclass
class Report:
    """What a guard has found so far."""

    findings: list[Finding] = field(default_factory=list)
    """In the order in which they were found: one for each rule and place."""
    calls: int = 0
    """How many calls of losses were watched."""

    def of(self, severities: Iterable[Severity]) -> list[Finding]:
        """The findings of these severities."""
        return [finding for finding in self.findings if finding.severity in severities]
