"""Plays the demo again and again, and counts how often each act came out as the story says.

Usage: .venv/bin/python bench/demo_repeat.py [TIMES]     (10; about two minutes each)
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path


def main() -> int:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    right: Counter[str] = Counter()
    seen: dict[str, list[str]] = defaultdict(list)
    lameduck = str(Path(sys.executable).parent / "lameduck")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, times + 1):
            out = Path(folder) / f"{number}.json"
            subprocess.run([lameduck, "demo", "--quiet", "--json", str(out)], stdout=subprocess.DEVNULL, check=False)
            for act in json.loads(out.read_text())["acts"]:
                name, proof = f"{act['act']}. {act['title']}", act["proof"]
                right[name] += act["as_told"]
                codes = ",".join(dict.fromkeys(f["code"] for f in proof["findings"]))
                seen[name].append(f"{proof['verdict']} {proof['failed']}/{proof['requests']} {codes}")
                told = "as told" if act["as_told"] else "NOT AS TOLD"
                print(f"run {number}, act {name}: {seen[name][-1]}: {told}", flush=True)
    print("\n| act | as told | verdict, lost/requests, causes |\n|---|---|---|")
    for name, results in seen.items():
        print(f"| {name} | {right[name]} of {times} | {'; '.join(results)} |")
    return 0 if all(count == times for count in right.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
