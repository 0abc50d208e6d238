"""The settings that the examples' pages recommend: each serves, with the processes that the page says. How much memory they
take is printed and not compared: it depends on the machine (benches/machines prints it with the machine's name)."""

import re

import load
from lab import Instance, equal, expect, run, systemctl
from load import Load

SCRIPT = "/usr/share/doc/herder/examples/memory.py"


def serve(page, configurations, ask=load.ask):
    """Tries each of these settings, which the table in this page has a row for: `| NAME | PROCESSES | 123 MiB |`."""
    text = page.read_text()
    for number, (name, settings) in enumerate(configurations.items()):
        row = next((line for line in text.splitlines() if line.startswith(f"| {name} |")), None)
        expect(row, f"{page} has no row for {name}")
        megabytes, processes = serve_one(f"m{number}", settings, ask)
        print(f"measured: {name}: {megabytes:.0f} MiB")
        # herder is one of them.
        equal(processes - 1, promised(row.split("|")[2]), f"the processes of {name}")


def promised(text):
    """`2 × 4, and 2 masters` is 10."""
    total = 0
    for term in text.split(", and "):
        product = 1
        for factor in re.findall(r"\d+", term):
            product *= int(factor)
        total += product
    return total


def serve_one(name, settings, ask):
    """The memory in MiB and the number of processes, when the workers have done something."""
    address = f"/run/{name}.sock"
    instance = Instance(name, settings, listen=(address,))
    instance.listen()
    instance.start()
    with Load(address, clients=16, ask=ask) as traffic:
        traffic.wait_until(3000)
    traffic.expect_no_failure()
    total = run("/usr/bin/python3", SCRIPT, instance.service).stdout.splitlines()[-1]
    systemctl("stop", instance.socket, instance.service)
    return float(total.split()[0]), int(total.split()[2])
