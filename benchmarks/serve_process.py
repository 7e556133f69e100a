"""A `dmvton serve` process to measure, and what it says about itself."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
_READY_S = 60


class Server:
    """The process under test."""

    def __init__(self, garment: Path, threads: int, workers: int | None):
        """Start it, wait until it is ready, and send it a garment photo."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(self.port)]
        command += ["--threads", str(threads)]
        command += [] if workers is None else ["--workers", str(workers)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _READY_S
        while self._get("/readyz") is None:
            if time.monotonic() > end or self.process.poll() is not None:
                self.process.kill()
                raise RuntimeError("the server does not start; try: dmvton serve")
            time.sleep(0.1)
        self.garment = self._post_garment(garment.read_bytes())

    def memory_mib(self) -> float:
        """Resident memory."""
        return round(self._metric("process_resident_memory_bytes") / 2**20, 1)

    def cpu_s(self) -> float:
        """Processor time since it was started."""
        return self._metric("process_cpu_seconds_total")

    def health_ms(self) -> float:
        """Time that the health check takes."""
        started = time.perf_counter()
        if self._get("/healthz") is None:
            return float("inf")
        return (time.perf_counter() - started) * 1e3

    def _metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)", self._get("/metrics") or "", re.M)
        if found is None:
            raise RuntimeError(f"the server tells no {name}")
        return float(found[1])

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=10
            ) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def _post_garment(self, photo: bytes) -> str:
        head = b'--b\r\nContent-Disposition: form-data; name="garment"\r\n\r\n'
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/garments",
            head + photo + b"\r\n--b--\r\n",
            {"Content-Type": "multipart/form-data; boundary=b"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["id"]
