#!/usr/bin/env python3
"""Holds the JSON Schemas to the samples that plan_test.cpp holds the decoders to.

A sample says who accepts it: "both", "neither", or "schema": what only the decoder can refuse,
because it concerns two places of a document, or what a name means.
"""

import json
import pathlib
import sys

import jsonschema

HERE = pathlib.Path(__file__).parent
SCHEMAS = HERE.parent.parent / "schemas"


def schema_of(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def check_samples(name):
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for sample in json.loads((HERE / "samples" / f"{name}.json").read_text()):
        accepted = validator.is_valid(sample["value"])
        if accepted != (sample["accept"] in ("both", "schema")):
            yield f"{name}: {sample['sample']}: {'accepted' if accepted else 'refused'}"


def check_copy():
    """A downstream's file holds an outcome table: the same rules as the table's own schema."""
    table = schema_of("outcomes")
    inside = schema_of("downstream")["$defs"]
    if inside["rule"] != table["$defs"]["rule"] or inside["rules"]["maxItems"] != table["maxItems"]:
        yield "downstream: its outcome rules differ from outcomes.schema.json"


def main():
    found = [*check_copy()]
    for name in ("campaign", "downstream", "outcomes"):
        found += check_samples(name)
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
