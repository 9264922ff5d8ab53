"""Streams made by the workers of a `tf.data` service.

A worker makes windows of an epoch, each some whole batches, with the ops that a
stream without the service runs. Which of them it makes, the dispatcher says;
`arrivals.py` puts them back into their order. The processes of the service are in `servers.py`.
"""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tfstream import arrivals, ops
from tfstream.errors import InvalidArgumentError, ServiceError

if TYPE_CHECKING:
    import tensorflow as tf

    from tfstream.order import Share

__all__ = ["PROTOCOL", "check", "distribute", "reach", "require_kernel", "served_window"]

PROTOCOL = "grpc"
_PATIENCE_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
# An epoch has so many windows or more, if it has the batches: work for that many workers.
_LEAST_WINDOWS = 256
# And no larger ones than this: those of other workers are kept by the client until it is there.
_WINDOW_BYTES = 64 << 20


def served_window(share: Share, window: int, sample_bytes: int) -> int:
    """Samples that a worker makes one after the other: whole batches.

    Args:
        share: What is made of an epoch.
        window: Samples that are read at once.
        sample_bytes: Of a sample as it is delivered; 0: unknown.

    >>> from tfstream.order import Share
    >>> served_window(Share(1_000_000, batch_size=32), window=299, sample_bytes=0)
    288
    >>> served_window(Share(1_000_000, batch_size=32), window=299, sample_bytes=602_112)
    96
    >>> served_window(Share(8_500, batch_size=32), window=299, sample_bytes=0)
    32
    """
    size = share.batch_size or 1
    most = _WINDOW_BYTES // max(1, sample_bytes * size)
    return max(1, min(window // size, share.steps // _LEAST_WINDOWS, most)) * size


def distribute(
    epoch_of: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset],
    *,
    service: str,
    share: Share,
    options: tf.data.Options,
) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
    """Has the workers of a service make the epochs.

    Args:
        epoch_of: An epoch and a position in it (int64 scalar tensors) to a dataset of (place,
            batch), the places counted from the position, whose source is a range: each of the
            range's numbers is given to one worker.
        service: Its address.
        share: What is made of an epoch.
        options: How the workers run it.

    Returns:
        The same, made elsewhere: the batches, in their order.
    """
    import tensorflow as tf

    lib = tf.data.experimental.service

    # The graph that is registered holds the number of the epoch. Were it counted where the
    # epoch is made, a worker that joined late would make another one than the others.
    @tf.autograph.experimental.do_not_convert
    def served(epoch: tf.Tensor, position: tf.Tensor) -> tf.data.Dataset:
        @tf.autograph.experimental.do_not_convert
        def after(given: tf.Tensor, token: tf.Tensor) -> tuple[tf.data.Dataset, Any]:
            batches = epoch_of(epoch, position + given * share.stride)
            made = arrivals.sent(batches, token).with_options(options)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that options are not known for certain in a graph
                # Pixels do not get smaller by the compression that there is.
                number = lib.register_dataset(service, made, compression=None)
            job = lib.from_dataset_id(
                lib.ShardingPolicy.DYNAMIC, service, number, element_spec=made.element_spec
            )
            return job, batches.element_spec[1]

        return arrivals.in_order(
            after, share.steps_left(position), samples=share.batch_size or 1, whence=service
        )

    return served


def check(service: str) -> None:
    """Finds out whether a stream can use a service.

    Args:
        service: Its address.

    Raises:
        InvalidArgumentError: It is not an address.
        ServiceError: Nobody listens there, or this process has no kernel.
    """
    reach(service, patience=_PATIENCE_SECONDS)
    require_kernel()


def require_kernel() -> None:
    """Raises a ServiceError where tfstream was installed without its compiled kernel."""
    if ops.library() is None:
        raise ServiceError(
            "a tf.data service needs tfstream's compiled kernel, and it was installed without: "
            "install g++ and reinstall tfstream"
        )


def reach(service: str, *, patience: float) -> tuple[str, str]:
    """Finds out whether anybody listens at an address: TensorFlow would wait without a word.

    Args:
        service: grpc://host:port.
        patience: Seconds in which to try again.

    Returns:
        host:port, and by which address of its own this machine reaches it.

    Raises:
        InvalidArgumentError: It is not such an address.
        ServiceError: Nobody listens there.
    """
    protocol, separator, address = service.partition("://")
    host, _, port = address.rpartition(":")
    if protocol != PROTOCOL or not separator or not host or not _is_port(port):
        raise InvalidArgumentError(
            f"{service!r} is not the address of a tf.data service: give grpc://HOST:PORT, as "
            "`tfstream dispatcher` prints it"
        )
    until = time.monotonic() + patience
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), patience) as connection:
                return address, str(connection.getsockname()[0])
        except OSError as error:
            if time.monotonic() > until:
                raise ServiceError(
                    f"nobody listens at {service} ({error.strerror or error}): start a dispatcher "
                    f"there by `tfstream dispatcher --port {port}`, or correct the address"
                ) from error
        time.sleep(_PAUSE_SECONDS)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16
