"""Whether the embedded servers answer."""

import httpx

_HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")


def healthy(url: str) -> bool:
    """Whether every component of the Airflow at a URL says that it is healthy."""
    try:
        health = httpx.get(f"{url}/api/v2/monitor/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    return all((health.get(name) or {}).get("status") == "healthy" for name in _HEALTHY)


def answers(url: str) -> bool:
    """Whether a page can be read."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
