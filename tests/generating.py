"""Fits a model from a DataGenerator with whatever backend $KERAS_BACKEND names; prints JSON."""

from __future__ import annotations

import json
import sys

import keras

import tfstream


def main(root: str, packed: str) -> None:
    with open(f"{root}/labels.json") as file:
        labels = json.load(file)
    with open(f"{root}/partition.json") as file:
        partition = json.load(file)
    params = {"batch_size": 4, "dim": (3, 4), "n_channels": 2, "n_classes": 3, "shuffle": True}
    files = tfstream.keras.DataGenerator(
        partition["train"], labels, **params, directory=f"{root}/data", workers=2
    )
    data = tfstream.open(packed)
    train = tfstream.keras.DataGenerator(data.split("train"), **params)
    validation = tfstream.keras.DataGenerator(data.split("validation"), batch_size=2)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    losses = []
    for generator in (files, train):
        told = model.fit(generator, validation_data=validation, epochs=2, verbose=0).history
        losses += told["loss"] + told["val_loss"]
    print(
        json.dumps(
            {
                "backend": keras.backend.backend(),
                "losses": losses,
                "tensorflow": "tensorflow" in sys.modules,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
