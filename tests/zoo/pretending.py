"""What a corpus's workers run in tests: no model is traced. Imported there alone, so it imports little."""

import os
import time


def make_pretender(setup):
    """A handler that writes down each call and takes a while."""

    def handle(payload, report):
        with open(os.path.join(setup["folder"], "calls"), "a") as file:
            file.write(payload["address"] + "\n")
        time.sleep(0.1)
        if payload["address"].endswith("bad"):
            raise ValueError("hf:bad: 17 is not 18")
        return {"nodes": 1}

    return handle
