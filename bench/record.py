"""What every file of measurements says about where it comes from."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def machine():
    return {"processor": cpu_name(), "cpus": os.cpu_count(), "system": platform.platform()}


def commit():
    """git's name of the sources, with "+" behind it when files had been changed; "" outside a repository."""
    def git(*command):
        result = subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True)
        return result.stdout.strip() if result.returncode == 0 else ""

    return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def now():
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
