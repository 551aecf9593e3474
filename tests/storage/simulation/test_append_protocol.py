"""The append protocol holds whatever happens, in whatever order; and each of its rules is needed."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.rounds import FULL
from tests.storage.simulation.model import KEYS, RULES, Kind, Rule
from tests.storage.simulation.world import DELIVERIES, Delivery, World

KINDS: tuple[Kind, ...] = ("append", "create", "delete", "transfer", "define", "prepared")
MACHINES = 1_000 if FULL else 80
WRITERS = st.integers(0, 2)
WISHES = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["Slot/a", "Slot/b"])), min_size=1, max_size=3)


class AppendProtocol(RuleBasedStateMachine):
    """Hypothesis decides every step of three writers, their wire, their clocks and their deaths."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(writer=WRITERS, wishes=WISHES)
    def submit(self, writer: int, wishes: list[tuple[Kind, str]]) -> None:
        self.world.submit(writer, wishes)

    @rule(writer=WRITERS, delivery=st.sampled_from(DELIVERIES), lag=st.integers(0, 5))
    def step(self, writer: int, delivery: Delivery, lag: int) -> None:
        self.world.step(writer, delivery, lag)

    @rule(writer=WRITERS, steps=st.integers(2, 40))
    def advance(self, writer: int, steps: int) -> None:
        for _ in range(steps):
            self.world.step(writer)
            self.world.check()

    @rule(writer=WRITERS)
    def heal(self, writer: int) -> None:
        self.world.heal(writer)

    @rule(writer=WRITERS)
    def crash(self, writer: int) -> None:
        self.world.crash(writer)

    @rule(index=st.integers(0, 20))
    def deliver(self, index: int) -> None:
        self.world.deliver(index)

    @rule(writer=WRITERS, clock=st.integers(0, 9))
    def set_clock(self, writer: int, clock: int) -> None:
        self.world.set_clock(writer, clock)

    @invariant()
    def holds(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.finish()


AppendProtocol.TestCase.settings = settings(
    max_examples=MACHINES, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAppendProtocol = pytest.mark.torture(AppendProtocol.TestCase)


def wander(seed: int, broken: frozenset[Rule]) -> None:
    """Run one random schedule, which mostly lets writers work and sometimes does its worst."""
    chance = random.Random(seed)
    world = World(broken)
    for _ in range(150):
        writer = chance.randrange(3)
        happening = chance.random()
        if world.processes[writer].steps is None or happening < 0.02:
            wishes = [(chance.choice(KINDS), chance.choice(KEYS[:2])) for _ in range(chance.randint(1, 3))]
            world.submit(writer, wishes)
        elif happening < 0.70:
            world.step(writer)
        elif happening < 0.93:
            world.step(writer, chance.choice(DELIVERIES), chance.randrange(6))
        elif happening < 0.96:
            world.deliver(chance.randrange(20))
        elif happening < 0.98:
            world.set_clock(writer, chance.randrange(10))
        else:
            world.crash(writer)
        world.check()
    world.finish()


def test_random_schedules_keep_every_invariant() -> None:
    for seed in range(150):
        wander(seed, frozenset())


@pytest.mark.parametrize("broken", RULES)
def test_a_protocol_without_the_rule_is_found_out(broken: Rule) -> None:
    for seed in range(400):
        try:
            wander(seed, frozenset({broken}))
        except AssertionError:
            return
    pytest.fail(f"no schedule noticed that the rule {broken!r} was gone")
