"""The engine against the usual recipe and TRL's SFTTrainer: tokens a second, memory, time to equal validation error.

    python scripts/bench_engine.py --quick                       # tokens a second and peak memory
    python scripts/bench_engine.py --table photoswitch --json found.json
    python scripts/bench_engine.py --table lipophilicity --predict 1000
    pip install trl                                              # without it the SFTTrainer rows are left out

All three train SmolLM2 (or --model) to write the same numbers behind the same prompts, 16 rows a step, with LoRA of
rank 16 on all linear layers:

- usual: transformers' Trainer, all blocks, fp32, padded batches, loss over prompt and completion with full logits;
- sft: TRL's SFTTrainer, all blocks, its own precision and defaults, loss on the completion;
- ours: `lm-text` as chemtune trains it.

Ours trains fewer layers, which takes more steps of less time each: it is given more epochs than the other two.

Each job runs in a process of its own, one after the other in turn, so that peak memory is its own and a slow minute of
the machine hits all of them. Rows: the training rows of the random hold-out with seed 0, a fifth of them kept for
validation; the test rows are not looked at. Validation reads the answers of all three in the same way, and its seconds
are not counted. Seconds per step are the median of a job's steps; seconds to an error are those of the first step,
with what a recipe does before it, and for the further steps that it took at the recipe's best rate the median
seconds per step over all turns. Tokens are those of prompt and completion, without padding, whether or not a recipe
computes them anew. On a GPU ours records a step of each shape once and replays it, so that the first steps are slow:
give a quick run some hundred (``--steps 200``). Peak memory is that of the process, not of the GPU.

``--predict N`` trains both arms and times them on N molecules, against `generate` one at a time with an adapter in
place, in fp32, on the first of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from validation_rows import validation_rows

RECIPES = ("usual", "sft", "ours")
RANK, ALPHA, BATCH = 16, 32, 16
QUICK_STEPS, WARM_UP = 8, 2
GENERATED = 24  # molecules that `generate` is timed on
Evaluate = Callable[[dict[str, Any]], None]  # given the adapter's weights by name


def load_job(options: argparse.Namespace) -> dict[str, Any]:
    """The rows of the job, as every recipe gets them."""
    from pipeline.prompts.numbers import NumberFormat
    from pipeline.prompts.templates import PromptTemplate
    from pipeline.reporter import Reporter
    from pipeline.runs.prepare import load_table
    from pipeline.settings.reading import make_config

    table = load_table(make_config(options.table, {}), Reporter())
    fit, check = validation_rows(table, 0)
    fit = fit[: options.n_train]
    values = table.targets.loc[fit].to_numpy()
    return {
        "model": options.model,
        "X": table.inputs.loc[fit],
        "y": values,
        "X_check": table.inputs.loc[check],
        "y_check": table.targets.loc[check].to_numpy(),
        "form": NumberFormat.fit(values),
        "template": PromptTemplate(table.property_name, table.units),
    }


class Clock:
    """Seconds of training by step; what happens in `pause` is not counted."""

    def __init__(self) -> None:
        self.started, self.paused = time.perf_counter(), 0.0
        self.seconds: dict[int, float] = {}

    def mark(self, step: int) -> None:
        self.seconds[step] = time.perf_counter() - self.started - self.paused

    def pause(self, work: Callable[[], None]) -> None:
        began = time.perf_counter()
        work()
        self.paused += time.perf_counter() - began


def validator(job: dict[str, Any], recipe: str) -> Callable[[dict[str, Any]], float]:
    """From an adapter's weights to the mean absolute error on the validation rows, read like `lm-text` reads."""
    from pipeline.arms.text_arms import TextRegressor
    from pipeline.defaults import WHOLE
    from pipeline.lm.defaults import LAYERS, TrainingSettings
    from pipeline.lm.engine import Engine

    depth, trained = LAYERS["lm-text"] if recipe == "ours" else (None, 10_000)
    template = job["template"] if recipe == "ours" else replace(job["template"], tokenization=WHOLE)
    engine = Engine.load(job["model"], trained_layers=trained, depth=depth, dtype="auto")
    arm = TextRegressor(engine, template)
    arm.centre_, arm.takes_median_, arm.format_ = float(job["y"].mean()), False, job["form"]
    arm.settings_, arm.shared_ = TrainingSettings(0, rank=RANK, alpha=ALPHA), arm.shared()

    def error(weights: dict[str, Any]) -> float:
        arm.adapter_ = weights
        return float(np.abs(arm.predict(job["X_check"]) - job["y_check"]).mean())

    return error


# -- the recipes -------------------------------------------------------------------------------------------------------


def ours(job: dict[str, Any], rate: float, steps: int, every: int, clock: Clock, evaluate: Evaluate | None) -> None:
    from pipeline.arms.text_arms import TextRegressor
    from pipeline.lm.defaults import LAYERS
    from pipeline.lm.engine import shared_engine

    depth, trained = LAYERS["lm-text"]
    engine = shared_engine(job["model"], trained, "auto", depth)

    def progress(done: int, total: int) -> None:
        clock.mark(done)
        if evaluate and (done % every == 0 or done == total):
            trained = {
                f"base_model.model.{n}": p.detach().clone()
                for n, p in engine.model.named_parameters()
                if p.requires_grad
            }
            clock.pause(lambda: evaluate(trained))

    settings = {"rank": RANK, "alpha": ALPHA, "batch_size": BATCH, "learning_rate": rate}
    arm = TextRegressor(engine, job["template"], steps=steps, settings=settings, progress=progress)
    clock.started = time.perf_counter()
    arm.fit(job["X"], job["y"])


def _watch(model: Any, every: int, clock: Clock, evaluate: Evaluate | None) -> Any:
    """A callback of transformers' trainers that marks the clock and evaluates."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            clock.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            clock.mark(state.global_step)
            if evaluate and (state.global_step % every == 0 or state.global_step == state.max_steps):
                trained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
                clock.pause(lambda: evaluate(trained))

    return Watch()


def _texts(job: dict[str, Any]) -> tuple[list[str], list[str]]:
    from pipeline.prompts.templates import completion

    return job["template"].render_all(job["X"]), [completion(job["form"].write(value)) for value in job["y"]]


def _arguments(kind: Any, rate: float, steps: int, folder: str, **more: Any) -> Any:
    import torch

    return kind(
        output_dir=folder,
        use_cpu=not torch.cuda.is_available(),
        max_steps=steps,
        learning_rate=rate,
        per_device_train_batch_size=BATCH,
        save_strategy="no",
        report_to=[],
        logging_strategy="no",
        disable_tqdm=True,
        seed=0,
        **more,
    )


def _lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")


def usual(job: dict[str, Any], rate: float, steps: int, every: int, clock: Clock, evaluate: Evaluate | None) -> None:
    import torch
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    from pipeline.lm.weights import resolve

    source = resolve(job["model"])
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32), _lora())
    prompts, answers = _texts(job)
    texts = [f"{prompt}{answer}{tokenizer.eos_token}" for prompt, answer in zip(prompts, answers, strict=True)]
    encoded = dict(tokenizer(texts))
    # The labels are given: the collator for language modelling finds padding by its id, which is that of the end mark
    # here, and a model that never learns to end is no recipe to compare with.
    rows = Dataset.from_dict({**encoded, "labels": encoded["input_ids"]})
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=_arguments(TrainingArguments, rate, steps, folder),
            train_dataset=rows,
            data_collator=DataCollatorForSeq2Seq(tokenizer),
            callbacks=[_watch(model, every, clock, evaluate)],
        ).train()


def sft(job: dict[str, Any], rate: float, steps: int, every: int, clock: Clock, evaluate: Evaluate | None) -> None:
    import torch
    from datasets import Dataset
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from pipeline.lm.weights import resolve

    source = resolve(job["model"])
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32), _lora())
    prompts, answers = _texts(job)
    # bf16, gradient checkpointing and the loss on the completion alone are SFTConfig's own defaults.
    with tempfile.TemporaryDirectory() as folder:
        SFTTrainer(
            model=model,
            args=_arguments(SFTConfig, rate, steps, folder),
            train_dataset=Dataset.from_dict({"prompt": prompts, "completion": answers}),
            processing_class=tokenizer,
            callbacks=[_watch(model, every, clock, evaluate)],
        ).train()


# -- one job in a process of its own -----------------------------------------------------------------------------------


def work(options: argparse.Namespace) -> None:
    """Train one recipe once and print what was seen as a line of JSON."""
    from pipeline.cells.cell import measured
    from pipeline.lm.decoders import tokenizer_and_limit

    job, clock = load_job(options), Clock()
    tokenizer, _ = tokenizer_and_limit(options.model)
    prompts, answers = _texts(job)
    counts = [len(tokenizer(p + a)["input_ids"]) + 1 for p, a in zip(prompts, answers, strict=True)]
    seen: list[tuple[int, float, float]] = []
    evaluate: Evaluate | None = None
    if not options.quick:
        error = validator(job, options.recipe)

        def evaluate(weights: dict[str, Any]) -> None:
            step = max(clock.seconds)
            seen.append((step, clock.seconds[step], error(weights)))

    found: dict[str, Any] = {"recipe": options.recipe, "table": options.table, "n": len(counts), "rate": options.rate}
    with measured(found):
        recipe = {"usual": usual, "sft": sft, "ours": ours}[options.recipe]
        recipe(job, options.rate, options.steps, options.every, clock, evaluate)
    # The median step, and not the mean: a minute in which the machine did something else is no step's own time.
    seconds = float(np.median(np.diff([clock.seconds[step] for step in sorted(clock.seconds)])[WARM_UP - 1 :]))
    found |= {
        "seconds_per_step": seconds,
        "first_step": clock.seconds[min(clock.seconds)],
        "tokens_per_second": BATCH * float(np.mean(counts)) / seconds,
        "steps": max(clock.seconds),
        "curve": seen,
    }
    print("FOUND " + json.dumps(found), flush=True)


def run(options: argparse.Namespace, recipe: str, rate: float, steps: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", __file__, "--worker", recipe, "--table", options.table]
    command += ["--n-train", str(options.n_train), "--model", options.model, "--rate", str(rate)]
    command += ["--steps", str(steps), "--every", str(options.every), *(["--quick"] if options.quick else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    if done.returncode or not lines:
        sys.exit(f"{recipe} failed:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix("FOUND "))


def matrix_rate() -> float:
    """Measured GFLOP/s of bf16 products of the model's shape: 512 tokens, 576 to 1536."""
    import torch

    a, b = torch.ones(512, 576, dtype=torch.bfloat16), torch.ones(1536, 576, dtype=torch.bfloat16)
    seconds = []
    for _ in range(60):
        started = time.perf_counter()
        torch.nn.functional.linear(a, b)
        seconds.append(time.perf_counter() - started)
    return 2 * 512 * 576 * 1536 / float(np.median(seconds)) / 1e9


def reached(curve: list[list[float]], target: float) -> int | None:
    """Steps until the validation error first is at or below the target."""
    return next((int(step) for step, _, value in curve if value <= target), None)


def report(results: list[dict[str, Any]], quick: bool) -> None:
    for recipe in dict.fromkeys(result["recipe"] for result in results):
        part = [result for result in results if result["recipe"] == recipe]
        tokens = [result["tokens_per_second"] for result in part]
        peak = max(result["peak_mb"] for result in part)
        print(f"{recipe:<6} {np.median(tokens):6.0f} tokens/s (median of {len(part)}), peak {peak:.0f} MB", flush=True)
    base = [result["tokens_per_second"] for result in results if result["recipe"] == "usual"]
    for recipe in ("sft", "ours"):
        other = [result["tokens_per_second"] for result in results if result["recipe"] == recipe]
        ratios = [b / a for a, b in zip(base, other, strict=False)]
        if ratios:
            print(f"{recipe} / usual, tokens a second, turn by turn: {', '.join(f'{ratio:.1f}' for ratio in ratios)}")
    if quick:
        return
    best = {
        recipe: min((r for r in results if r["recipe"] == recipe), key=lambda r: min(v for _, _, v in r["curve"]))
        for recipe in dict.fromkeys(result["recipe"] for result in results)
    }
    target = min(value for _, _, value in best["usual"]["curve"])
    print(f"validation MAE to reach, the usual recipe's best: {target:.4g}")
    times: dict[str, float] = {}
    for recipe, result in best.items():
        steps = reached(result["curve"], target)
        per_step = float(np.median([r["seconds_per_step"] for r in results if r["recipe"] == recipe]))
        if steps is not None:
            times[recipe] = result["first_step"] + (steps - 1) * per_step
        said = f"{times[recipe]:.0f} s in {steps} steps" if recipe in times else "not reached"
        lowest = min(value for _, _, value in result["curve"])
        print(f"{recipe:<6} rate {result['rate']:g}: {said}; its own best {lowest:.4g}")
    for recipe in ("usual", "sft"):
        if recipe in times and "ours" in times:
            print(f"ours is {times[recipe] / times['ours']:.1f} times faster to that error than {recipe}")


def predict(options: argparse.Namespace) -> None:
    """Seconds per molecule of both arms, and of `generate` one at a time."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from pipeline import LoraRegressor
    from pipeline.lm.weights import resolve
    from pipeline.reporter import Reporter
    from pipeline.runs.prepare import load_table
    from pipeline.settings.reading import make_config

    job = load_job(options)
    table = load_table(make_config(options.table, {}), Reporter())
    X = table.inputs.drop(index=job["X"].index).head(options.predict)
    seconds: dict[str, float] = {}
    for readout in ("head", "text"):
        template = job["template"]
        model = LoraRegressor(template.property_name, template.units, readout, options.model)
        model.fit(job["X"], job["y"])
        model.arm_.engine.forget()
        started = time.perf_counter()
        model.predict(X)
        seconds[f"lm-{readout}"] = (time.perf_counter() - started) / len(X)
    arm = model.arm_
    prompts = arm.prompts(X.head(GENERATED))
    longest = max(len(arm._answer_ids(text)) for text in arm.format_.texts())
    usual_way = get_peft_model(
        AutoModelForCausalLM.from_pretrained(resolve(options.model), dtype=torch.float32), _lora()
    )
    usual_way.to(arm.engine.device).eval()
    started = time.perf_counter()
    with torch.no_grad():
        for ids in prompts:
            batch = torch.tensor([ids], device=arm.engine.device)
            usual_way.generate(
                input_ids=batch,
                attention_mask=torch.ones_like(batch),
                min_new_tokens=longest,
                max_new_tokens=longest,
                do_sample=False,
                pad_token_id=0,
            )
    seconds["generate"] = (time.perf_counter() - started) / len(prompts)
    for name, value in seconds.items():
        ratio = "" if name == "generate" else f", {seconds['generate'] / value:.1f} times as fast as generate"
        print(f"{name:<8} {1000 * value:.1f} ms a molecule{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="photoswitch")
    parser.add_argument("--n-train", type=int, default=300)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 2e-3])
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--own-epochs", type=float, default=10, help="epochs of ours, whose steps take less time")
    parser.add_argument("--every", type=int, default=19, help="steps between validations")
    parser.add_argument("--turns", type=int, default=3, help="turns of a quick run")
    parser.add_argument("--quick", action="store_true", help="tokens a second and peak memory alone")
    parser.add_argument("--predict", type=int, default=0, help="time the prediction of so many molecules instead")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", dest="recipe", choices=RECIPES, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=1e-3, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=QUICK_STEPS, help="steps of a quick run")
    options = parser.parse_args()
    if options.recipe:
        work(options)
        return
    if options.predict:
        predict(options)
        return
    recipes = [recipe for recipe in RECIPES if recipe != "sft" or find_spec("trl")]
    if "sft" not in recipes:
        print("trl is not installed: the SFTTrainer is left out")
    print(f"bf16 products of the model's shape: {matrix_rate():.0f} GFLOP/s")
    epochs = {recipe: options.own_epochs if recipe == "ours" else options.epochs for recipe in recipes}
    turns = [options.rates[0]] * options.turns if options.quick else options.rates
    results = []
    for rate in turns:
        for recipe in recipes:
            steps = options.steps if options.quick else round(epochs[recipe] * options.n_train / BATCH)
            results.append(run(options, recipe, rate, steps))
            shown = {key: value for key, value in results[-1].items() if key != "curve"}
            print(json.dumps(shown), flush=True)
    report(results, options.quick)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
