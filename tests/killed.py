"""Trains in processes that are killed at random moments; prints what they did as JSON.

python killed.py DATASET DIRECTORY KILLS
"""

import json
import os
import random
import signal
import sys
import time
import traceback

import fitting  # TensorFlow is loaded once; it begins nothing before the first op

import tfstream


def train(dataset, directory, tell):
    """Tells the steps one by one, and at the end the history."""
    ds = fitting.stream(tfstream.open(dataset).split("train"))
    model = fitting.model([])

    def told(step, numbers):
        tell([int(step), [int(n) for n in numbers[:, 0]]])

    model.tell = told
    resume = tfstream.keras.ResumeStream(directory, ds, every=1)
    history = model.fit(ds.map(fitting.inputs), epochs=3, verbose=0, callbacks=[resume])
    tell({"epochs": history.epoch, **history.history})


def run(dataset, directory, kill_after):
    """What a process told before it was killed, or came to its end."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(
                dataset, directory, lambda what: os.write(writing, f"{json.dumps(what)}\n".encode())
            )
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    told = []
    with os.fdopen(reading) as lines:
        for line in lines:
            told.append(json.loads(line))
            if kill_after == 0:
                time.sleep(random.random() * 0.05)
                os.kill(child, signal.SIGKILL)
            kill_after -= 1
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("the training failed")
    return told


def main():
    """Kills so many, and lets the last one finish."""
    dataset, directory, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seen, killed, told = [], 0, []
    while not (told and isinstance(told[-1], dict)):
        told = run(dataset, directory, random.randrange(3) if killed < kills else -1)
        killed += not isinstance(told[-1], dict)
        seen += [each for each in told if isinstance(each, list)]
    print(json.dumps({"history": told[-1], "seen": seen, "kills": killed}))


if __name__ == "__main__":
    main()
