"""When to try again: tenacity's exponential back-off with full jitter, the other end's own wish first."""

from collections.abc import Awaitable, Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from agent.delivery.config import DeliveryConfig
from agent.errors import Paused, Retryable

Sleep = Callable[[float], Awaitable[None]]


def retrying(
    config: DeliveryConfig, sleep: Sleep, before_sleep: Callable[[BaseException, float], None]
) -> AsyncRetrying:
    """Attempts without end, over everything that time or a person can mend. ``sleep`` may return early (a stop wants
    one attempt now).

    Waits are drawn between nothing and a limit that doubles from ``backoff_initial`` to ``backoff_max``, so that many
    agents do not come back together; never less than ``Retry-After`` asks for (itself bounded by ten times
    ``backoff_max``, so that a wrong header cannot stop delivery for a day).
    """
    jitter = wait_random_exponential(multiplier=config.backoff_initial, max=config.backoff_max)

    def wait(state: RetryCallState) -> float:
        wished = getattr(_failure(state), "retry_after_secs", None) or 0.0
        return max(jitter(state), min(wished, config.backoff_max * 10))

    def tell(state: RetryCallState) -> None:
        before_sleep(_failure(state), state.upcoming_sleep)

    return AsyncRetrying(
        wait=wait, sleep=sleep, before_sleep=tell, retry=retry_if_exception_type((Retryable, Paused)), reraise=True
    )


def _failure(state: RetryCallState) -> BaseException:
    assert state.outcome is not None
    failure = state.outcome.exception()
    assert failure is not None
    return failure
