"""What the study of negatives found, in words."""

from __future__ import annotations

import numpy as np

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.numbers import number
from pipeline.studies.negatives.doses import RANKING, REFUSING, enough_in_words, needs_in_words
from pipeline.studies.negatives.experiment import ALWAYS_YES, ANYWHERE, DOSE, RECOMBINED, YIELDS_ALONE
from pipeline.studies.negatives.findings import Findings
from pipeline.studies.words import biased, can_be_chance, few_groups, in_percent, one_seed, with_interval


def sentences(findings: Findings) -> list[str]:
    """How permissive a model of successes is, what dose of failures mends what, and who needs fewer."""
    experiment = findings.experiment
    n, groups = int(findings.metrics["n"].iloc[0]), int(findings.metrics["groups"].iloc[0])
    share = float(experiment.success.loc[experiment.test].mean())
    said = [
        f"Split {experiment.split.name}: {n} test reactions in {groups} groups, {share:.0%} of them successes "
        f"(yield of at least {experiment.settings.success:g} %)."
    ]
    said += few_groups(findings.groups) + one_seed(int(findings.metrics["seeds"].max()))
    yes = findings.value(ALWAYS_YES, "none", "fpr")
    if yes:
        said.append(
            f"Trained on successes alone, a two-class model predicts success for all: it accepts {yes[0]:.0%} of "
            "the failures and cannot rank (AUROC 0.5)."
        )
    for learner in experiment.learners:
        said += _permissive(findings, learner)
        said += _doses(findings, learner)
    said += _compared(findings)
    said += _contamination(findings)
    return said


def _permissive(findings: Findings, learner: str) -> list[str]:
    ranking = findings.value(YIELDS_ALONE, learner, "auroc")
    accepted = findings.value(YIELDS_ALONE, learner, "fpr")
    bias = findings.value(YIELDS_ALONE, learner, "yield_bias")
    if not ranking or not accepted or not bias:
        return []
    return [
        f"{learner} as a regression of the yields of successes ranks with AUROC {with_interval(ranking)}, accepts "
        f"{in_percent(accepted)} of the failures, and predicts {biased(bias)} on average."
    ]


def _doses(findings: Findings, learner: str) -> list[str]:
    found = [findings.enough.get((learner, "", what)) for what in (RANKING, REFUSING)]
    told = [one for one in found if one is not None]
    if not told:
        return []
    parts = []
    for dose in sorted({*(one.dose for one in told if one.told), told[0].doses[0], told[0].doses[-1]}):
        ranking = findings.value(DOSE, learner, "auroc", dose=dose)
        accepted = findings.value(DOSE, learner, "fpr", dose=dose)
        if ranking and accepted:
            parts.append(
                f"at {dose:g} % AUROC is {with_interval(ranking)}, and {in_percent(accepted)} of the failures are "
                "accepted"
            )
    return [*(enough_in_words(learner, one) for one in told), f"{learner}: {'; '.join(parts)}."]


def _compared(findings: Findings) -> list[str]:
    learners = findings.experiment.learners
    language_models = [learner for learner in learners if is_language_model(learner)]
    classical = [learner for learner in learners if learner not in language_models]
    return [
        sentence
        for ours in language_models
        for theirs in classical
        if (sentence := _language_model_against(findings, ours, theirs))
    ]


def _language_model_against(findings: Findings, ours: str, theirs: str) -> str:
    parts = []
    at = findings.compared
    for dose in sorted(at.loc[(at["ours"] == ours) & (at["theirs"] == theirs), "dose"].unique()):
        one, two = (findings.value(DOSE, learner, "auroc", dose=dose) for learner in (ours, theirs))
        apart = findings.difference(ours, theirs, dose, "auroc")
        if one and two and apart:
            parts.append(f"{number(one[0])} against {number(two[0])} at {dose:g} % (difference {with_interval(apart)})")
    if not parts:
        return ""
    mine, other = (findings.enough.get((*pair, RANKING)) for pair in ((ours, theirs), (theirs, ours)))
    need = f"; {needs_in_words(ours, mine, theirs, other)}" if mine and other else ""
    return f"On the same rows {ours} and {theirs} have AUROC {', '.join(parts)}{need}."


def _contamination(findings: Findings) -> list[str]:
    part = findings.decoys
    part = part[part["scheme"] == RECOMBINED] if len(part) else part
    if part.empty:
        return []
    known, successes, made = (int(part[name].sum()) for name in ("decoys_known", "decoys_successes", "decoys"))
    if not known:
        return _avoiding(findings)
    return [
        f"Of {made} recombined decoys {known} were measured after all, and {successes / known:.0%} of those were "
        "successes: as stand-ins for failures these are wrong.",
        *_avoiding(findings),
    ]


def _avoiding(findings: Findings) -> list[str]:
    """That decoys keep clear of the test reactions, and what it was worth."""
    parts = []
    for learner in findings.experiment.learners:
        apart = findings.difference(f"{learner} {ANYWHERE}", f"{learner} {RECOMBINED}", np.nan, "auroc")
        if apart:
            parts.append(f"{learner} by {with_interval(apart)}{' (not significant)' if can_be_chance(apart) else ''}")
    measured = f" Decoys drawn without a look at them change its AUROC: {'; '.join(parts)}." if parts else ""
    return [
        "The recombined decoys keep clear of the test reactions, which a chemist who draws them cannot: what is shown "
        f"of them is optimistic.{measured}"
    ]
