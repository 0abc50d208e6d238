"""How much memory the examples need, and whether their pages say so."""

import re

import load
from lab import Instance, expect, run, systemctl
from load import Load

SCRIPT = "/usr/share/doc/herder/examples/memory.py"
# Of what the page says: another version of the language, or another page size, is not another recommendation.
TOLERANCE = 0.25


def compare(page, configurations, ask=load.ask):
    """Measures each of these settings, which the table in this page has a row for: `| NAME | … | 123 MiB |`."""
    text = page.read_text()
    wrong = []
    for number, (name, settings) in enumerate(configurations.items()):
        row = next((line for line in text.splitlines() if line.startswith(f"| {name} |")), "")
        promised = re.search(r"\| (\d+) MiB \|$", row)
        found = measure(f"m{number}", settings, ask)
        print(f"measured: {name}: {found:.0f} MiB")
        if not promised or abs(found / int(promised[1]) - 1) > TOLERANCE:
            wrong.append(f"{name}: {found:.0f} MiB, and {page} says {row or 'nothing'}")
    expect(not wrong, "\n".join(wrong))


def measure(name, settings, ask):
    """In MiB, when the workers have done something."""
    address = f"/run/{name}.sock"
    instance = Instance(name, settings, listen=(address,))
    instance.listen()
    instance.start()
    with Load(address, clients=16, ask=ask) as traffic:
        traffic.wait_until(3000)
    traffic.expect_no_failure()
    total = run("/usr/bin/python3", SCRIPT, instance.service).stdout.splitlines()[-1]
    systemctl("stop", instance.socket, instance.service)
    return float(total.split()[0])
