"""The model card that writes itself."""

from __future__ import annotations

from typing import Any

from pipeline.arms.catalogue import ARMS
from pipeline.defaults import ATOMWISE
from pipeline.evaluation.blending import share_said
from pipeline.evaluation.intervals import METHODS, ONE_RADIUS
from pipeline.evaluation.numbers import number
from pipeline.features.inputs import ReactionInput
from pipeline.settings.threshold import Rule
from pipeline.tables.kinds import COMPOSITIONS, KINDS, MOLECULES, TEXTS
from pipeline.tables.measurements import CENSORED
from pipeline.tables.scales import Scale

EXAMPLES = {MOLECULES: "CCO", COMPOSITIONS: "GaAs", TEXTS: "a text"}


def model_card(about: dict[str, Any], size: int) -> str:
    """``README.md`` of a model folder."""
    units = f" in {about['units']}" if about["units"] else ""
    reactions, rows = about["reactions"], rows_are(about)
    kind = KINDS[rows]
    beside = f"the {kind.one if reactions else kind.notation}"
    lines = [
        f"# {about['property_name']}: {about['arm']}",
        "",
        f"Predicts {about['property_name']}{units} from {_taken(about)} ({about['task']}"
        + (f": {', '.join(about['classes'])})." if about["classes"] else ")."),
        f"Made by chemtune {about['versions']['chemtune']}; {size / 1e6:.1f} MB.",
        "",
        "## Use",
        "",
        "    chemtune predict THIS_FOLDER new.csv --out predicted.csv",
        *([] if reactions else [f'    chemtune predict THIS_FOLDER --{kind.setting} "{EXAMPLES[kind]}"']),
        "",
        "## Model",
        "",
        f"- {about['arm']}: {ARMS[about['arm']].does}.",
        f"- Trained on {about['n_train']} {rows} of `{about['data']['source']}` "
        f"(column `{about['target']}`), seed {about['seed']}.",
    ]
    lines += [*_notation_lines(about), *_base_lines(about), *_target_lines(about, beside)]
    lines += ["", "## How good it is", "", *score_lines(about)]
    lines += [
        "",
        "## Limits",
        "",
        f"- `in_domain` is false where no training {rows.removesuffix('s')} has a Tanimoto similarity of at least "
        f"{about['domain']['threshold']:.2f} ({kind.similarity}), "
        f"which leaves out the 5 % of the training {rows} that are least like the others. Outside, expect larger "
        "errors than the intervals say.",
        *_held_out_lines(about),
        f"- {_holding(about)} for {rows} like those it was trained on; new {kind.new} are a shift.",
        _known_line(about),
        f"- `training.parquet` holds the {about['n_train']} training structures: whoever gets this folder gets them.",
    ]
    return "\n".join(lines) + "\n"


def _notation_lines(about: dict[str, Any]) -> list[str]:
    """In what notation an arm that reads text is shown molecules, and what another spelling of them costs."""
    notations = about.get("notations") or ["canonical"]
    if notations == ["canonical"]:
        return _spelling_lines(about["calibration"])
    several = "; their predictions are averaged" if len(notations) > 1 else ""
    return [f"- It reads molecules as {', '.join(notations)}{several}."]


def _spelling_lines(calibration: dict[str, Any]) -> list[str]:
    """What happens to a model that is used without `predict`, which writes canonical SMILES."""
    found, metric = calibration.get("spelling"), calibration["metric"]
    if not found:
        return []
    return [
        f"- It reads RDKit's canonical SMILES, which `predict` writes; where you use the model without chemtune, write "
        f"them yourself. From another SMILES of the same molecule, on {found['n']} held-out ones: {metric} "
        f"{number(found['other'])} in place of {number(found['canonical'])}."
    ]


def _base_lines(about: dict[str, Any]) -> list[str]:
    """What the card says of the language model under the arm."""
    base, lines = about["language_model"], list[str]()
    if not base:
        return []
    lines.append(
        f"- Base model {base['model']} ({base['licence']}), not in this folder; the prompt is "
        f"`{about['template']}`, computed in {base['dtype']}."
    )
    symbols = KINDS[rows_are(about)].symbols if about["tokenization"] == ATOMWISE else ""
    if symbols:
        what = " (atom, bond, ring mark, parenthesis)" if "SMILES" in symbols else ""
        lines.append(f"- Each {symbols}{what} has tokens of its own.")
    if base.get("depth"):
        trained = base["trained_layers"]
        which = "all" if trained >= base["depth"] else f"the last {trained}"
        lines.append(
            f"- Of the base model the first {base['depth']} layers are used, and what follows the last; the "
            f"adapter is on {which} of them. PEFT loads it over the whole base model too, where it computes "
            "something else: take the other layers out first, or fit with `--merge`."
        )
    if base.get("start"):
        lines.append(f"- Its training started from {base['start']}.")
    return lines


def _target_lines(about: dict[str, Any], beside: str) -> list[str]:
    """What the card says of how the target was read, and of the columns that are needed."""
    lines = []
    if about["bin_edges"]:
        cuts = ", ".join(number(edge) for edge in about["bin_edges"])
        lines.append(
            f"- The classes are intervals of the number, lowest first, cut at {cuts} {about['units']}".rstrip() + "."
        )
    scale = Scale(**about["scale"])
    if scale.transform:
        lines.append(
            f"- The target is {scale.explained()}. `prediction`, `lower` and `upper` are in "
            f"{scale.units or 'its units'} again, `{scale.transform}` is the modelled value; the prediction is the "
            "middle of its interval on that scale, not a mean."
        )
    if about["bounds"]["n"]:
        how = "one-sided by arms that can use them, at the limit by others"
        taken = how if about["bounds"]["use"] == CENSORED else "at the limit"
        lines.append(f"- {about['bounds']['n']} training values were bounds (such as `>10`), taken {taken}.")
    if about["context"]:
        lines.append(f"- Needs the columns {', '.join(f'`{column}`' for column in about['context'])} beside {beside}.")
    return lines


def _held_out_lines(about: dict[str, Any]) -> list[str]:
    """What was chosen on held-out rows: the share of a language model in a blend, a threshold, and how the bounds are
    made, with how often they held there."""
    calibration = about["calibration"]
    shared = [f"- {share_said(about['arm'], calibration['share'])}"] if "share" in calibration else []
    if about["classes"]:
        heat = [f"- {temperature_said(calibration['temperature'])}"] if "temperature" in calibration else []
        cut = [f"- {threshold_said(calibration['threshold'])}"] if "threshold" in calibration else []
        return [*shared, *heat, *cut]
    if not calibration["n"]:
        return ["- No row was held out of a fit: `lower` and `upper` are empty."]
    method = calibration.get("interval", ONE_RADIUS)
    lines = [f"- `lower` and `upper`: {METHODS[method]}. Their size comes from {calibration['n']} held-out rows."]
    if method != ONE_RADIUS:
        lines[0] += " Beyond the most difficult of these it grows no further."
    coverage = calibration.get("coverage", {"quarters": []})
    if coverage["quarters"]:
        names = ("nearest quarter", "second", "third", "farthest quarter")
        shares = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, coverage["quarters"], strict=True))
        lines.append(
            f"- Of the nominal {coverage['level']:.0%} intervals, cross-checked on the held-out rows by their distance "
            f"to training, so many contain the measured value: {shares}."
        )
    return [*shared, *lines]


def _holding(about: dict[str, Any]) -> str:
    """What holds for rows like those of training."""
    if not about["classes"]:
        return "The bounds hold"
    calibrated = about["calibration"].get("temperature", {}).get("value") is not None
    return "Probabilities hold" if calibrated else "Probabilities are not calibrated, not even"


def temperature_said(heat: dict[str, Any]) -> str:
    """How the probabilities of a model were calibrated, and how well they hold on held-out rows."""
    if heat["value"] is None:
        return (
            f"`p_` columns: the arm's probabilities as they are. {heat['n']} held-out rows are too few to calibrate "
            "them."
        )
    made = (
        f"`p_` columns: the arm's probabilities {'nearer to' if heat['value'] > 1 else 'further from'} one another, at "
        f"temperature {number(heat['value'])} (temperature scaling), as {heat['n']} held-out rows ask for."
    )
    if "ece" not in heat:
        return f"{made} There are too few of these to tell how well they hold."
    (raw, calibrated), (raw_loss, loss) = heat["ece"], heat["log_loss"]
    return (
        f"{made} On these rows, each half at the temperature of the other: expected calibration error {calibrated:.1%} "
        f"({raw:.1%} as the arm gives them; {heat['ece_if_perfect']:.1%} if they were perfect), logarithmic loss "
        f"{number(loss)} ({number(raw_loss)})."
    )


def threshold_said(threshold: dict[str, Any]) -> str:
    """The threshold of a model between two classes, and what came of it on held-out rows."""
    chosen = Rule.of(threshold["rule"]).chosen
    made = (
        f"Class {threshold['positive']} is the answer from a probability of {number(threshold['value'])} on, "
        f"{'chosen' if chosen else 'set by the user'} (--threshold {threshold['rule']})"
    )
    if "missed" not in threshold:
        return f"{made}. Held-out rows are too few to tell what it misses."
    where = "on held-out rows"
    if chosen:  # models of earlier formats counted on the rows that chose
        by_halves = "on held-out rows, each half by the threshold that the other half chooses,"
        where = by_halves if threshold.get("by_halves") else "on the held-out rows that chose it"
    return (
        f"{made}: {where} it misses {threshold['missed']} of {threshold['positives']}, with "
        f"{threshold['false_alarms']} false alarms among the other {threshold['negatives']}."
    )


def _known_line(about: dict[str, Any]) -> str:
    """What `in_training` says."""
    reactions, context = about["reactions"], about["context"]
    one = rows_are(about).removesuffix("s")
    kind = KINDS[rows_are(about)]
    same = "canonical reaction" if reactions else f"canonical {kind.notation}"
    apart = [*(["components"] if reactions else []), *(["context"] if context else [])]
    other = f", if with other {' and '.join(apart)}; false where these lie outside of the domain" if apart else ""
    salts = " Other salts, stereoisomers and tautomers of a training molecule are not marked."
    forms = salts if kind is MOLECULES else ""
    return (
        f"- `in_training` is true where a training {one} has the same {same}{other}. The model has seen it: neither "
        f"its prediction nor an interval around it is a test of the model.{forms}"
    )


def rows_are(about: dict[str, Any]) -> str:
    """What the rows are that a model predicts; models of earlier versions do not say so."""
    return str(about.get("rows") or ("reactions" if about["reactions"] else "molecules"))


def _taken(about: dict[str, Any]) -> str:
    """What a prediction is made from."""
    read = ReactionInput.stored(about["reactions"])
    if not read:
        return f"a {KINDS[rows_are(about)].notation}"
    several = "s" if len(read.columns) > 1 else ""
    return f"a reaction in the column{several} {', '.join(f'`{column}`' for column in read.columns)}"


def score_lines(about: dict[str, Any]) -> list[str]:
    """What was measured of the model, a list item each."""
    calibration, units = about["calibration"], f" {about['units']}" if about["units"] else ""
    lines = []
    if calibration["n"]:
        metric, value = calibration["metric"], calibration["value"]
        lines.append(
            f"- {metric} {number(value)}{units if metric == 'MAE' else ''} on {calibration['n']} {rows_are(about)}, "
            f"{calibration['how']}."
        )
    for score in about["scores"]:
        lines.append(
            f"- {score['split']} split of `{score['run']}`: {score['metric']} {number(score['value'])} "
            f"[{number(score['low'])} to {number(score['high'])}], n = {score['n']}."
        )
    if about.get("measured_with"):
        lines.append(f"- On these splits it was measured with {'; '.join(about['measured_with'])}.")
    return lines or ["- Not measured."]
