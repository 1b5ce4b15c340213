from __future__ import annotations

import os

import pytest
import torch

from glmcli.engines.local.net.threads import Pace, first_threads, make_pace, threads_in_use


class Machine:
    """A clock, and a net whose tokens take as long as `seconds_of[threads]` says."""

    def __init__(self, **seconds_of):
        self.now = 0.0
        self.threads = 0
        self.taken_s = 0.0
        self.used = []
        self.set_to(**seconds_of)

    def set_to(self, **seconds_of):
        self.seconds_of = {int(name[1:]): value for name, value in seconds_of.items()}

    def set_threads(self, count):
        self.threads = count

    def clock(self):
        return self.now

    def reply(self, tokens):
        for token in range(tokens):
            self.now += self.seconds_of[self.threads]
            self.used.append(self.threads)
            yield token
        return "stop"

    def read(self, pace, blocks=10, cores=2.0, told=True):
        """Read a prompt where so many cores are free; the counts that its blocks were read with.

        Without `told` the last one ends the prompt, as that of a short one does.
        """
        self.used.clear()

        def prompt():
            for block in range(blocks):
                self.now += 1.0
                self.taken_s += min(self.threads, cores)
                self.used.append(self.threads)
                if told or block + 1 < blocks:
                    yield block

        assert list(pace.reading(prompt())) == list(range(blocks if told else blocks - 1))
        return list(self.used)

    def taken(self):
        return self.taken_s

    def run(self, pace, tokens=40):
        self.used.clear()
        assert list(pace.paced(self.reply(tokens))) == list(range(tokens))
        return self.used


def pace_on(machine, counts=(1, 2)):
    return Pace(list(counts), machine.set_threads, machine.clock, machine.taken)


def test_the_fastest_count_is_kept():
    machine = Machine(t1=0.03, t2=0.02)
    assert machine.run(pace_on(machine))[-20:] == [2] * 20
    machine = Machine(t1=0.03, t2=0.3)
    used = machine.run(pace_on(machine))
    assert used[-20:] == [1] * 20
    assert used.count(2) <= 2, "what is far slower is not tried for long"


def test_a_busy_neighbour_is_noticed_and_so_is_his_leaving():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    machine.run(pace)
    machine.set_to(t1=0.035, t2=0.2)
    assert machine.run(pace)[-10:] == [1] * 10
    machine.set_to(t1=0.03, t2=0.02)
    assert machine.run(pace, tokens=500)[-10:] == [2] * 10


def test_the_first_prompt_is_read_with_all_threads():
    machine = Machine(t1=0.03, t2=0.02)
    pace_on(machine)
    assert machine.threads == 2


def test_a_prompt_is_read_with_fewer_threads_while_others_want_the_cores():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    assert machine.read(pace) == [2] * 10
    assert machine.read(pace, cores=0.7) == [2, 2] + [1] * 8
    assert machine.read(pace, blocks=20, cores=0.7)[8:] == [2, 2] + [1] * 10  # tried again
    assert machine.read(pace, blocks=20)[-10:] == [2] * 10


@pytest.mark.parametrize("told", [True, False])
def test_short_prompts_one_after_the_other_are_read_with_fewer_threads_too(told):
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    machine.read(pace, blocks=1, told=told)
    batches = Pace([1, 2], machine.set_threads, machine.clock, machine.taken, pace.blocks)
    used = [
        machine.read(each, blocks=1, cores=0.7, told=told)
        for each in (pace, batches, pace, batches)
    ]
    assert used == [[2], [2], [1], [1]]


def test_some_of_several_threads_are_kept():
    machine = Machine(t1=0.03, t4=0.02, t8=0.01)
    pace = pace_on(machine, counts=(1, 4, 8))
    machine.read(pace, cores=8)
    assert machine.read(pace, cores=5.0)[-1] == 4
    assert machine.read(pace, cores=2.5)[:3] == [4, 4, 1]


def test_the_count_nearest_to_the_cores_that_there_were_is_next():
    machine = Machine(t1=0.03, t8=0.02, t16=0.01)
    pace = pace_on(machine, counts=(1, 8, 16))
    machine.read(pace, cores=16)
    assert machine.read(pace, cores=7.9)[-1] == 8


def test_a_first_block_that_waits_for_the_disk_is_no_sign():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    assert machine.read(pace, blocks=2, cores=0.1) == [2, 2]
    assert machine.read(pace) == [2] * 10


def test_prompts_and_tokens_have_their_own_counts():
    machine = Machine(t1=0.03, t2=0.3)
    pace = pace_on(machine)
    machine.run(pace)
    assert machine.threads == 1
    assert machine.read(pace) == [2] * 10
    assert machine.threads == 1


def test_replies_of_one_token_teach_nothing():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    for _ in range(50):
        machine.run(pace, tokens=1)
    assert machine.threads == 1
    assert machine.run(pace)[-1] == 2


def test_with_one_core_there_is_nothing_to_choose():
    machine = Machine(t1=0.03)
    pace = pace_on(machine, counts=(1,))
    machine.threads = 1
    assert set(machine.run(pace)) == {1}


def test_the_ending_is_passed_on():
    machine = Machine(t1=0.03, t2=0.02)
    ids = pace_on(machine).paced(machine.reply(2))
    try:
        while True:
            next(ids)
    except StopIteration as end:
        assert end.value == "stop"


def test_no_more_threads_are_used_than_there_are_cores():
    before = threads_in_use()
    try:
        make_pace(4096, "cpu")
        assert threads_in_use() <= max(os.cpu_count() or 1, before)
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def a_process_of_two_threads():
    """As if nothing had set the threads of this process yet."""
    before = threads_in_use()
    torch.set_num_threads(2)
    first_threads.cache_clear()
    yield
    torch.set_num_threads(before)
    first_threads.cache_clear()


@pytest.mark.parametrize("wanted", [None, 1])
def test_what_an_earlier_reply_settled_on_is_no_bound_of_a_later_one(
    wanted, a_process_of_two_threads
):
    make_pace(wanted, "cpu")
    torch.set_num_threads(1)
    make_pace(None, "cpu")
    assert threads_in_use() == 2


def in_turns(*replies):
    """Takes one of each, in turn, until all are at their ends."""
    left = list(replies)
    while left:
        for reply in list(left):
            if next(reply, None) is None:
                left.remove(reply)


def slowly(machine, tokens, seconds):
    """A reply whose tokens all take longer, whatever the threads."""
    for token in machine.reply(tokens):
        machine.now += seconds
        yield token


def test_a_dearer_reply_made_in_turn_with_another_does_not_mislead():
    """Mixed up, what is dear would count for whatever number of threads is tried just then."""
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    cheap = [pace.paced(machine.reply(60)) for _ in range(2)]
    in_turns(*cheap, pace.paced(slowly(machine, 60, 0.5)))
    assert machine.threads == 2


def test_short_replies_teach_together():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    for _ in range(10):
        machine.run(pace, tokens=3)
    assert machine.threads == 2


def test_a_dearer_reply_that_comes_to_it_begins_no_new_trial():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    first = pace.paced(machine.reply(200))
    for _ in range(40):
        next(first)
    machine.used.clear()
    in_turns(first, pace.paced(slowly(machine, 100, 0.5)))
    assert set(machine.used) == {2}


def test_a_reply_that_is_not_taken_holds_up_no_trial():
    machine = Machine(t1=0.03, t2=0.02)
    pace = pace_on(machine)
    stuck = pace.paced(machine.reply(200))
    next(stuck)
    next(stuck)
    machine.run(pace, tokens=200)
    assert machine.threads == 2
    stuck.close()


def test_tokens_between_the_blocks_of_another_prompt_have_their_own_threads():
    machine = Machine(t1=0.03, t2=0.3)
    pace = pace_on(machine)
    machine.run(pace)

    def prompt():
        for block in range(6):
            blocks.append(machine.threads)
            yield block

    blocks = []
    machine.used.clear()
    in_turns(pace.reading(prompt()), pace.paced(machine.reply(6)))
    assert (blocks, machine.used) == ([2] * 6, [1] * 6)


def test_a_block_that_fails_leaves_the_threads_of_tokens():
    machine = Machine(t1=0.03, t2=0.3)
    pace = pace_on(machine)
    machine.run(pace)

    def prompt():
        raise ValueError
        yield

    with pytest.raises(ValueError):
        list(pace.reading(prompt()))
    assert machine.threads == 1


@pytest.mark.parametrize("seconds", [{"t1": 0.03, "t2": 0.02}, {"t1": 0.02, "t2": 0.3}])
def test_ids_that_came_without_a_step_of_their_own_teach_nothing(seconds):
    machine = Machine(**seconds)
    pace = pace_on(machine)

    def in_threes():
        """Two of three ids were guessed, and the step with them took longer."""
        for number in range(120):
            if number % 3 == 0:
                machine.now += machine.seconds_of[machine.threads] * (3 if number % 2 else 1)
            machine.number = number
            yield number

    list(pace.paced(in_threes(), lambda: machine.number % 6 == 0))
    assert machine.threads == min((1, 2), key=lambda count: seconds[f"t{count}"])


def test_a_trial_is_told_of_so_that_steps_are_alike_meanwhile():
    machine = Machine(t1=0.04, t2=0.02)
    pace, tried = pace_on(machine), []
    for _ in pace.paced(machine.reply(20)):
        tried.append(pace.is_trying)
    assert tried[:4] == [True] * 4 and tried[-4:] == [False] * 4
    assert not pace_on(machine, [2]).is_trying
