"""crane's registry, on a free port."""

import re

from .process import Process, responds_ok


class Registry(Process):
    """Stores images until it is stopped."""

    def __init__(self, log):
        super().__init__(["crane", "registry", "serve", "--address", "127.0.0.1:0"], log)
        with self.starting():
            self.port = int(self.until("it listens", lambda: re.search(r"serving on port (\d+)", self.output()))[1])
            self.until("it responds", lambda: responds_ok(f"http://127.0.0.1:{self.port}/v2/"))
        self.host = f"127.0.0.1:{self.port}"
        self.repository = f"{self.host}/shoutback"
