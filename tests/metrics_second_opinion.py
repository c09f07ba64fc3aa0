"""Metrics and PromQL as other people's parsers see them.

    metrics_second_opinion.py metrics FILE...    prometheus_client's reading of pages: name -> type, and its samples, as JSON
    metrics_second_opinion.py promql FILE        the PromQL expressions of a JSON list that do not parse, with the cause, as JSON
"""

import json
import sys


def metrics(paths):
    from prometheus_client.parser import text_fd_to_metric_families

    pages = []
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as page:
            families = list(text_fd_to_metric_families(page))
        pages.append(
            {
                family.name: {
                    "type": family.type,
                    "help": family.documentation,
                    "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples],
                }
                for family in families
            }
        )
    return pages


def promql(path):
    import promql_parser

    wrong = []
    with open(path, encoding="utf-8") as expressions:
        for expression in json.load(expressions):
            try:
                promql_parser.parse(expression)
            except ValueError as error:
                wrong.append([expression, str(error)])
    return wrong


print(json.dumps(metrics(sys.argv[2:]) if sys.argv[1] == "metrics" else promql(sys.argv[2])))
