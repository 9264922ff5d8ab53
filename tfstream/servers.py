"""The processes of a `tf.data` service: a dispatcher, and workers that make samples.

Both need the kernel: the dispatcher builds the graph of a stream to learn how
it can be cut, and the workers run it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from tfstream.errors import ServiceError
from tfstream.fetch.fetcher import fetcher
from tfstream.service import PROTOCOL, reach, require_kernel

__all__ = ["dispatch", "work"]

# What starts a dispatcher may start its workers at the same time.
_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.5
# What workers made for an epoch that nobody reads any more takes memory for so long.
_UNUSED_JOBS_SECONDS = 10


def dispatch(*, port: int, work_dir: str | None, ready: Callable[[int], object]) -> None:
    """Runs a dispatcher until the process is told to end.

    Args:
        port: That it listens on; 0: any.
        work_dir: Where it keeps what it knows, so that another one can go on; None: nowhere.
        ready: Is called with the port, once it listens.

    Raises:
        ServiceError: It cannot be started.
    """
    told = _told()
    require_kernel()
    import tensorflow as tf

    lib = tf.data.experimental.service
    config = lib.DispatcherConfig(
        port=port,
        protocol=PROTOCOL,
        work_dir=work_dir,
        fault_tolerant_mode=work_dir is not None,
        job_gc_check_interval_ms=_UNUSED_JOBS_SECONDS * 1000,
        job_gc_timeout_ms=_UNUSED_JOBS_SECONDS * 1000,
    )
    server = _start(lambda: lib.DispatchServer(config), port)
    ready(_port(server))
    _wait(told)
    server.stop()


def work(
    service: str,
    *,
    host: str | None,
    port: int,
    cache_dir: str | None,
    cache_limit: int | None,
    ready: Callable[[str], object],
) -> None:
    """Runs a worker until the process is told to end.

    Args:
        service: The dispatcher's address.
        host: Under what name clients reach the worker; None: by the address that this machine
            has in the dispatcher's network.
        port: That it listens on; 0: any.
        cache_dir: The page cache's directory; None: nothing is kept.
        cache_limit: Bytes that the cache may take; None: as much as there is.
        ready: Is called with the worker's address, once it listens.

    Raises:
        CacheError: The cache directory cannot be used.
        InvalidArgumentError: `service` is not an address.
        ServiceError: The dispatcher cannot be reached, or the worker not be started.
    """
    told = _told()
    dispatcher, own = reach(service, patience=_PATIENCE_SECONDS)
    fetcher().cache_here(cache_dir, cache_limit)
    require_kernel()
    import tensorflow as tf

    from tfstream.fetch.ahead import WINDOWS_AHEAD

    # The threads that make samples, of which some wait for bytes: the graph cannot say how many,
    # for it is made on another machine.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str((os.cpu_count() or 1) + WINDOWS_AHEAD))

    lib = tf.data.experimental.service
    name = host or (f"[{own}]" if ":" in own else own)
    config = lib.WorkerConfig(
        dispatcher_address=dispatcher,
        worker_address=f"{name}:%port%",
        port=port,
        protocol=PROTOCOL,
    )
    server = _start(lambda: lib.WorkerServer(config), port)
    ready(f"{name}:{_port(server)}")
    _wait(told)
    fetcher().close()
    sys.stdout.flush()
    # Stopping the server, which its destructor does as well, holds Python's lock and waits for
    # ops that want it.
    os._exit(0)


def _told() -> threading.Event:
    """Is set once the process is told to end."""
    told = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return told


def _wait(told: threading.Event) -> None:
    """Returns once it is set."""
    # The system may hand a signal to any of TensorFlow's threads. That does not wake this one,
    # which is to run the handler: so it looks by itself.
    while not told.wait(_LOOK_SECONDS):
        pass


def _start(server: Callable[[], Any], port: int) -> Any:
    """Makes and starts a server."""
    import tensorflow as tf

    try:
        with socket.socket() as probe:  # TensorFlow's servers would share a port without a word
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
        return server()
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise ServiceError(
            f"cannot listen on port {port}: {error}. Choose a free port, or 0 for any"
        ) from error


def _port(server: Any) -> int:
    """That a server listens on."""
    return int(server._address.rpartition(":")[2])
