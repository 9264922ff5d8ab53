"""Trains under a strategy of tf.distribute, in several ways; prints what came of each as JSON.

python distributed.py DATASET DIRECTORY [INDEX PORT PORT [KILLED_AFTER]]
"""

import json
import os
import signal
import sys

import fitting
import tensorflow as tf

import tfstream

BATCH = 6  # of all workers and devices together


def fit(strategy, ds, *callbacks, prepared=True, distributed=False, epochs=2):
    """The losses, and what each device of this worker was trained with."""
    seen = []
    with strategy.scope():
        model = fitting.model(seen, dropout=0.0)
    if prepared:
        tfstream.keras.prepare(model)
    x = ds.map(fitting.inputs)
    if distributed:
        x = tfstream.keras.distribute(x, strategy)
    history = model.fit(x, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return {"epochs": history.epoch, **history.history}, sorted(seen)


def interrupted(path, strategy, data, stop, **arguments):
    """The same, of a training that was interrupted; the new stream knows nothing of the old one."""
    streamed = {"batch_size": BATCH, "drop_remainder": True, **arguments.pop("streamed", {})}
    for at in (stop, 99):
        ds = fitting.stream(data, **streamed)
        try:
            resume = tfstream.keras.ResumeStream(path, ds, 2)
            done = fit(strategy, ds, fitting.Interrupt(at), resume, **arguments)
        except RuntimeError:
            continue
        return done
    raise AssertionError


def error_of(call):
    """What it raises."""
    try:
        return str(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]


def mirrored(data, directory):
    """Two devices of one worker."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    ds = fitting.stream(data, batch_size=BATCH, drop_remainder=True)
    return {
        "prepared": fit(strategy, ds),
        "divided": interrupted(f"{directory}/divided", strategy, data, 8, distributed=True),
        # Without `prepare`, Keras takes a batch out of the stream.
        "resumed": interrupted(f"{directory}/resumed", strategy, data, 9, prepared=False),
    }


class Killed(fitting.Interrupt):
    """Dies, as by kill -9, after so many steps; never: 0."""

    def on_train_batch_end(self, batch, logs=None):
        """Counts."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def joined(index, ports):
    """The strategy of a worker."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    told = {"cluster": cluster, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(told)
    return tf.distribute.MultiWorkerMirroredStrategy()


def killed(data, directory):
    """One of two, of which the second dies; or, if it does not, one who trains to the end."""
    index, first, second, after = map(int, sys.argv[3:])
    strategy = joined(index, [first, second])
    ds = fitting.stream(data, batch_size=BATCH // 2, world=(index, 2), drop_remainder=True)
    resume = tfstream.keras.ResumeStream(f"{directory}/killed", ds, 2)
    return fit(strategy, ds, resume, Killed(after * index), distributed=True)[0]


def worker(data, directory):
    """One of two."""
    index, *ports = map(int, sys.argv[3:])
    strategy = joined(index, ports)
    share = {"batch_size": BATCH // 2, "world": (index, 2)}
    whole = fitting.stream(data, batch_size=BATCH, drop_remainder=True)
    done = {
        "whole": fit(strategy, whole),
        "share": interrupted(
            f"{directory}/share", strategy, data, 9, streamed=share, distributed=True
        ),
    }

    def refused(name, *, distributed, **streamed):
        ds = fitting.stream(data, drop_remainder=True, **share, **streamed)
        resume = tfstream.keras.ResumeStream(f"{directory}/{name}", ds)
        done[name] = error_of(lambda: fit(strategy, ds, resume, distributed=distributed))

    refused("seed", seed=3 + index, distributed=True)
    refused("sharded twice", distributed=False)
    ds = fitting.stream(data, world=(1 - index, 2))
    done["world"] = error_of(lambda: tfstream.keras.distribute(ds, strategy))
    return done


if __name__ == "__main__":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    train = tfstream.open(sys.argv[1]).split("train")
    way = {3: mirrored, 6: worker, 7: killed}[len(sys.argv)]
    print(json.dumps(way(train, sys.argv[2])))
