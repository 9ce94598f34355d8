"""The timer queue against a plain dictionary."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.handshake.timers import TimerQueue

keys = st.integers(0, 6)
times = st.integers(0, 30).map(float)
steps = st.one_of(
    st.tuples(st.just("set"), keys, times),
    st.tuples(st.just("cancel"), keys, times),
    st.tuples(st.just("pop"), keys, times),
)


@given(st.lists(steps, max_size=300))
def test_queue_is_a_dictionary_of_deadlines(
    sequence: list[tuple[str, int, float]],
) -> None:
    queue: TimerQueue[int] = TimerQueue()
    model: dict[int, float] = {}
    for action, key, time in sequence:
        if action == "set":
            queue.set(key, time)
            model[key] = time
        elif action == "cancel":
            queue.cancel(key)
            model.pop(key, None)
        else:
            due = {name: when for name, when in model.items() if when <= time}
            popped = list(queue.pop_due(time))
            assert sorted(popped) == sorted(due)
            assert [due[name] for name in popped] == sorted(due.values())
            for name in due:
                del model[name]
        assert len(queue) == len(model)
        assert queue.next() == min(model.values(), default=None)
        assert len(queue._heap) <= 2 * 7 + 64 + 1


def test_key_set_again_while_it_is_popped_waits_for_its_new_time() -> None:
    """The machine's handlers set timers while `pop_due` is under way."""
    queue: TimerQueue[str] = TimerQueue()
    queue.set("a", 1.0)
    queue.set("b", 1.0)
    seen = []
    for key in queue.pop_due(2.0):
        seen.append(key)
        queue.set(key, 3.0)
    assert seen == ["a", "b"]
    assert queue.next() == 3.0
