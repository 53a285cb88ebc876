"""The last thing that the guest starts: runs the scripts that come from the host's port, one JSON line each, until there is none."""

import json
import socket
import subprocess
import sys

with socket.create_connection(("10.0.2.2", int(sys.argv[1]))) as host, host.makefile("rw") as lines:
    for line in lines:
        ran = subprocess.run(["bash", "-c", json.loads(line)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        stdout, stderr = (output.decode(errors="replace") for output in (ran.stdout, ran.stderr))
        lines.write(json.dumps({"code": ran.returncode, "stdout": stdout, "stderr": stderr}) + "\n")
        lines.flush()
