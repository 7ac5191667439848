"""Reading an answer: the model's distribution over all answers there are, never a sample.

The answers form a tree over their tokens. Walking it from the root and normalising at each node
over the tokens that lead to an answer gives the model's distribution over whole answers: for
numbers, over whole numbers. A product of means per digit would be wrong across carries (199
against 200), and would need one token per digit; a tree needs neither.

What all answers begin with is run with the prompt, and a token that leaves a single answer settles
it: the rest of that answer has probability 1 within the tree and is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.lm.engine import Engine

MIN_MASS = 1e-3  # branches with less probability are not walked; their mass is spread over their answers
MAX_WIDTH = 12  # branches walked per level and row
BATCH = 32


class AnswerTree:
    """A prefix tree over answers as token sequences.

    Parameters
    ----------
    answers : sequence of tuples of token ids
        Each ends with the end token, so that no answer is the beginning of another.
    """

    def __init__(self, answers: Sequence[tuple[int, ...]]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.leaves: list[list[int]] = [[]]  # the answers below each node
        self.answer_at: list[int] = [-1]
        for number, answer in enumerate(answers):
            node = 0
            self.leaves[0].append(number)
            for token in answer:
                if self.answer_at[node] >= 0:
                    raise ValueError(f"answer {self.answer_at[node]} is the beginning of answer {number}")
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    self.leaves.append([])
                    self.answer_at.append(-1)
                node = self.children[node][token]
                self.leaves[node].append(number)
            if self.children[node] or self.answer_at[node] >= 0:
                raise ValueError(f"answer {number} is the beginning or the repetition of another")
            self.answer_at[node] = number
        self.size = len(answers)
        self.stem: list[int] = []  # tokens that all answers begin with
        self.top = 0  # the node behind them
        while len(self.children[self.top]) == 1 and self.answer_at[below := self._only_child(self.top)] < 0:
            self.stem += self.children[self.top]
            self.top = below
        self.tokens = [np.array(list(children), dtype=np.int64) for children in self.children]

    def _only_child(self, node: int) -> int:
        (child,) = self.children[node].values()
        return child


@dataclass
class Reading:
    """What was read for each row.

    ``probabilities`` of shape (n, answers) sum to 1 per row; ``well_formed`` (n,) is the
    probability that the model, left alone, writes what settles one of the answers; ``greedy`` (n,) is
    the number of the answer that its own most probable next tokens write, -1 where they write none.
    """

    probabilities: np.ndarray
    well_formed: np.ndarray
    greedy: np.ndarray

    @property
    def parse_failed(self) -> np.ndarray:
        """Shape (n,): True where the model, left alone, writes no answer there is."""
        return self.greedy < 0


@dataclass
class _Branch:
    node: int
    slots: list[int]  # cache slots of the branch's own tokens
    log_probability: float  # within the tree
    log_raw: float  # of the unconstrained model
    greedy: bool  # the model's own most probable tokens lead here
    settled: bool = False  # one answer is left and is booked; walked on to see whether the model ends it


def read_answers(
    engine: Engine,
    prompts: Sequence[tuple[int, ...]],
    shared: int,
    tree: AnswerTree,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reading:
    """Distribution over the answers for each prompt.

    Parameters
    ----------
    prompts : sequence of tuples of token ids
        All begin with the same ``shared`` tokens.
    """
    result = Reading(np.zeros((len(prompts), tree.size)), np.zeros(len(prompts)), np.full(len(prompts), -1))
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), prompts[row]))
    done = 0
    size = engine.at_once(BATCH, max(MAX_WIDTH, len(tree.stem) + 1))
    for start in range(0, len(order), size):
        members = order[start : start + size]
        with torch.no_grad(), engine.precision():
            _read_batch(engine, [prompts[row] for row in members], shared, tree, members, result)
        done += len(members)
        progress(done, len(prompts))
    return result


def _read_batch(
    engine: Engine,
    prompts: list[tuple[int, ...]],
    shared: int,
    tree: AnswerTree,
    members: list[int],
    result: Reading,
) -> None:
    begun = [prompt + tuple(tree.stem) for prompt in prompts]
    answers = engine.answers_to(begun, shared, len(tree.stem) + 1)
    log_vocabulary = torch.log_softmax(engine.logits(answers.hidden), dim=-1)
    stem = torch.tensor(tree.stem, dtype=torch.long, device=log_vocabulary.device)
    log_stem = log_vocabulary[:, torch.arange(len(stem)), stem].sum(dim=1).tolist()
    greedy = (log_vocabulary[:, :-1].argmax(dim=2) == stem).all(dim=1).tolist()
    log_walked = log_vocabulary[:, -1].cpu().numpy()  # a row of it for each branch
    branches = [[_Branch(tree.top, [], 0.0, raw, own)] for raw, own in zip(log_stem, greedy, strict=True)]
    depth = 0
    while any(branches):
        counts = np.cumsum([len(found) for found in branches])[:-1]
        following = [
            _grow(tree, found, log_vocabulary, result, members[row])
            for row, (found, log_vocabulary) in enumerate(zip(branches, np.split(log_walked, counts), strict=True))
        ]
        width = max(map(len, following))
        if width == 0:
            return
        slots = answers.visible.shape[1]
        tokens = torch.zeros(len(prompts), width, dtype=torch.long)
        present = torch.zeros(len(prompts), width, dtype=torch.bool)
        allowed = torch.zeros(len(prompts), width, slots + width, dtype=torch.bool)
        allowed[:, :, :slots] = answers.visible[:, None, :]
        allowed[:, :, slots:] = torch.eye(width, dtype=torch.bool)
        for row, found in enumerate(following):
            for column, (branch, token) in enumerate(found):
                tokens[row, column], present[row, column] = token, True
                allowed[row, column, branch.slots] = True
                branch.slots.append(slots + column)
        positions = torch.tensor([[len(ids) + depth] for ids in begun]).expand(-1, width)
        hidden = answers.extend(tokens, present, allowed, positions)
        log_walked = torch.log_softmax(engine.logits(hidden[present.to(hidden.device)]), dim=-1).cpu().numpy()
        branches = [[branch for branch, _ in found] for found in following]
        depth += 1


def _grow(
    tree: AnswerTree, branches: list[_Branch], log_vocabulary: np.ndarray, result: Reading, row: int
) -> list[tuple[_Branch, int]]:
    """Book the answers that end here and choose the branches to walk next."""
    candidates: list[tuple[_Branch, int]] = []
    for position, branch in enumerate(branches):
        tokens = tree.tokens[branch.node]
        raw = log_vocabulary[position, tokens].astype(np.float64)
        within = raw - np.logaddexp.reduce(raw)
        favourite = int(log_vocabulary[position].argmax())
        for token, log_raw, log_within in zip(tokens.tolist(), raw, within, strict=True):
            child = tree.children[branch.node][token]
            greedy = branch.greedy and token == favourite
            grown = _Branch(
                child,
                list(branch.slots),
                branch.log_probability + log_within,
                branch.log_raw + log_raw,
                greedy,
                branch.settled,
            )
            if len(tree.leaves[child]) == 1 and not grown.settled:
                grown.settled = True
                result.probabilities[row, tree.leaves[child][0]] += np.exp(grown.log_probability)
                result.well_formed[row] += np.exp(grown.log_raw)
            if tree.answer_at[child] >= 0:
                if greedy:
                    result.greedy[row] = tree.answer_at[child]
            elif greedy or not grown.settled:
                candidates.append((grown, token))
    candidates.sort(key=lambda item: (not item[0].greedy, -item[0].log_probability))
    chosen = [item for item in candidates[:MAX_WIDTH] if item[0].greedy or item[0].log_probability > np.log(MIN_MASS)]
    for branch, _ in candidates[len(chosen) :]:  # never a settled one, which is greedy and thus first
        below = tree.leaves[branch.node]
        result.probabilities[row, below] += np.exp(branch.log_probability) / len(below)
    return chosen
