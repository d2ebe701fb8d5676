"""Files in an S3 store: `S3Storage`, bare obstore and aiobotocore in turns, on one SeaweedFS from the tests' wheel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from bench.large import VOLUMES, large
from bench.processes import ROOT, measure

sys.path.insert(0, str(ROOT / "tests"))

from s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLIENTS = {"dovecote": "S3Storage, hashed", "obstore": "bare obstore", "aiobotocore": "aiobotocore"}
SMALL_OBJECTS = 2000
LARGE_OBJECTS = 4
HUGE_SIZE = 2 * 1024**3


def files(repeat: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything `repeat` times in turns, the best of each, and 2 GB once; at last 2 GB as a notification's file."""
    with S3Server(volumes=VOLUMES) as server:
        where = {
            "endpoint": server.place.endpoint,
            "bucket": server.place.create_bucket(),
            "key": server.writer.access_key_id,
            "secret": server.writer.secret_access_key,
        }
        runs: dict[str, dict[str, Any]] = {name: {"title": title} for name, title in CLIENTS.items()}
        # The store's first writes make its data files, and nobody is to be measured by that.
        for action, objects in (("small", SMALL_OBJECTS), ("stream", 1)):
            measure("files_obstore", action=action, folder="warm", objects=objects, **where)
        for turn in range(1, repeat + 1):
            for action, objects in (("small", SMALL_OBJECTS), ("stream", LARGE_OBJECTS)):
                for name in _from(turn):
                    title, folder = CLIENTS[name], f"{name}-{turn}"
                    run = measure(f"files_{name}", action=action, folder=folder, objects=objects, **where)
                    say(f"files, {action}, {title}: run {turn} of {repeat}, {run['seconds']:.2f} s")
                    best = runs[name].setdefault(action, run)
                    # The memory is the most that was seen: it is no luck of the draw.
                    peak = max(best["peak_rss_mb"], run["peak_rss_mb"])
                    runs[name][action] = (run if run["seconds"] < best["seconds"] else best) | {"peak_rss_mb": peak}
        say("files, 2 GB once there and back")
        huge = measure("files_dovecote", action="stream", folder="huge", objects=1, size=HUGE_SIZE, **where)
        sent = large(server, say)
    base = runs["dovecote"]["small"]["peak_rss_mb"]
    return {**ratios(runs), "huge_growth_mb": huge["peak_rss_mb"] - base, "huge": huge, **sent, "runs": runs}


def _from(turn: int) -> list[str]:
    """The clients, another one first in each turn."""
    names = list(CLIENTS)
    start = turn % len(names)
    return names[start:] + names[:start]


def ratios(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """What `bench.json` is read for."""

    def faster(action: str, than: str) -> float:
        return float(runs[than][action]["seconds"] / runs["dovecote"][action]["seconds"])

    return {
        "small_ratio_obstore": faster("small", "obstore"),
        "small_ratio_aiobotocore": faster("small", "aiobotocore"),
        "stream_ratio_obstore": faster("stream", "obstore"),
        "stream_ratio_aiobotocore": faster("stream", "aiobotocore"),
        "rss_ratio_obstore": runs["dovecote"]["stream"]["peak_rss_mb"] / runs["obstore"]["stream"]["peak_rss_mb"],
    }
