import threading

from glmcli.engines import Batches
from glmcli.engines.echo import EchoEngine
from glmcli.engines.kept.told import ToldEngine
from glmcli.types import GenerationParams, Message

PROMPTS = [((Message("user", f"number {n}"),), GenerationParams()) for n in range(3)]


class AtOnce(EchoEngine):
    """One that is asked several prompts at once, and notes how many."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def batch(self, prompts, cancel):
        self.asked.append(len(prompts))
        for index, prompt in enumerate(prompts):
            yield from ((index, chunk) for chunk in self.stream(*prompt, cancel))


def replies(engine, prompts=PROMPTS):
    """Notices with their index, and the text of each."""
    notices, texts = [], {}
    for index, chunk in engine.batch(prompts, threading.Event()):
        if chunk.notice:
            notices.append((index, chunk.notice))
        texts[index] = texts.get(index, "") + chunk.text
    return notices, texts


WHOLE = {n: f"number {n}" for n in range(3)}


def test_several_prompts_come_to_the_engine_at_once_behind_the_line():
    inner = AtOnce()
    engine = ToldEngine(inner, "by the way")
    assert isinstance(engine, Batches)
    assert replies(engine, []) == ([], {})
    assert replies(engine) == ([(0, "by the way")], WHOLE)
    assert inner.asked == [0, 3]


def test_an_engine_that_takes_one_by_one_is_asked_so():
    assert replies(ToldEngine(EchoEngine(), "by the way")) == ([(0, "by the way")], WHOLE)
