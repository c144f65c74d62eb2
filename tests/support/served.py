"""A real `mm-exchange serve` process on free ports."""

import json
import subprocess
import sys
from pathlib import Path


class Served:
    """A running `mm-exchange serve`."""

    def __init__(self, *arguments, cwd):
        command = [str(Path(sys.executable).with_name("mm-exchange")), "serve", "--port", "0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
        line = self.process.stdout.readline()
        assert line, self.process.communicate(timeout=5)[1]
        self.urls = json.loads(line)

    def __getattr__(self, name):
        return self.urls[name]

    def stop(self):
        """Exit code after SIGTERM, which must be quick."""
        self.process.terminate()
        try:
            code = self.process.wait(5)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.stderr = self.process.stderr.read()
            self.process.stderr.close()
        return code
