"""TRL's GRPO trainer on a curriculum: in TRL itself, with a model of a few thousand weights."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from redis_curriculum import Curriculum, CurriculumConfig
from redis_curriculum.config import GroupProgressConfig
from redis_curriculum.errors import InvalidInputError, UnsupportedLibraryError
from redis_curriculum.tasks import Table

OWN = "redis_curriculum.integrations.trl"
ROWS = [{"prompt": f"{a} + {b} =", "level": a // 4} for a in range(8) for b in range(3)]


def test_a_trainer_without_the_hook_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "torch.utils", "torch.utils.data", "trl"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    sys.modules["torch.utils.data"].Sampler = object  # type: ignore[attr-defined]
    older = type("GRPOTrainer", (), {"_get_train_sampler": None})
    sys.modules["trl"].GRPOTrainer = older  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, OWN, raising=False)
    with pytest.raises(UnsupportedLibraryError, match="install a version") as raised:
        importlib.import_module(OWN)
    assert (raised.value.library, raised.value.hook) == ("trl", "GRPOTrainer._calculate_rewards")


def tiny() -> tuple[Any, Any]:
    """A model from scratch, and a tokenizer of characters; nothing is downloaded."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate("<>?0123456789+= ")}
    words = Tokenizer(models.WordLevel(letters, unk_token="?"))  # noqa: S106 - no password
    words.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<", eos_token=">")  # noqa: S106
    config = GPT2Config(
        vocab_size=len(letters), n_positions=32, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    return GPT2LMHeadModel(config), tokenizer


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_grpo_plays_what_the_curriculum_draws(url: str, name: str, tmp_path: Path) -> None:
    if find_spec("trl") is None:
        pytest.skip("pip install 'redis-curriculum[trl]'")
    own = importlib.import_module(OWN)
    from datasets import Dataset
    from trl import GRPOConfig

    played: list[tuple[int, int]] = []

    def even(completions: list[str], row: list[int], **_: Any) -> list[float]:
        scores = [float(len(text) % 2) for text in completions]
        played.extend(zip(row, map(int, scores), strict=True))
        return scores

    data = Dataset.from_list([{**row, "row": i} for i, row in enumerate(ROWS)])
    model, tokenizer = tiny()
    args = GRPOConfig(
        output_dir=str(tmp_path), use_cpu=True, max_steps=6, per_device_train_batch_size=8,
        gradient_accumulation_steps=2, num_generations=4, max_completion_length=4,
        logging_strategy="no", report_to=[], save_strategy="no", bf16=False,
    )  # fmt: skip
    config = CurriculumConfig(
        task_generator=Table(data, label="level-{level}"), algorithm=GroupProgressConfig()
    )
    with Curriculum.open(url, name, config) as curriculum:
        named = {"args": args, "processing_class": tokenizer, "curriculum": curriculum, "key": "k"}
        trainer = own.CurriculumGRPOTrainer(model, even, train_dataset=data, **named)
        trainer.train()
        assert trainer.generations == 6
        rows = [trainer.prompts.batch(step) for step in range(6)]
        assert [row for row, _ in played] == [
            row for batch in rows for row in batch for _ in range(4)
        ]
        assert all(len(set(batch)) == 4 for batch in rows)
        wished: dict[int, int] = {}
        for row, score in played:
            wished[row] = wished.get(row, 0) + score
        found = curriculum.records()
        counts = [sum(row in batch for batch in rows) for row in found["task_id"]]
        assert found["completion_count"].tolist() == counts
        assert found["total_score"][found["completion_count"] > 0].sum() * 4 == sum(wished.values())
        assert curriculum.check() == []
        with pytest.raises(InvalidInputError, match="as long as") as raised:
            own.CurriculumGRPOTrainer(model, even, train_dataset=data.select(range(9)), **named)
        assert raised.value.field == "train_dataset"
