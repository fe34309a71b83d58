"""Checks the terms in the prose of every file by the rules of docs/style/Shoutback, which Vale reads, too.

    scripts/prose [FILE…]      prints the findings: path:line:column, the term to use, and the words to replace
    scripts/prose --counts     prints the number of findings per file
    scripts/prose --shrink     removes files without findings from the list of files that still have some

Vale is the reference: the suite `prose` runs it on the same texts and compares. This program needs no Go, so that `make test` has
the same findings. It also reads what Vale does not: string literals, test names, annotations of alerts, descriptions in Terraform and JSON.

A text is its file with everything else blanked, which preserves lines and columns. Code in prose becomes underscores, so that the
words on its two sides are not a phrase.
"""

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

import yaml
from pages import TOP

from harness.git import listed

STYLE = TOP / "docs/style/Shoutback"
WAITING = Path(__file__).resolve().parent / "waiting.txt"

# Generated from checked sources, third-party texts, or the words that the rules are about.
EXCLUDED = re.compile(
    r"^(LICENSE|docs/style/|observability/grafana/dashboards/|observability/kibana/saved-objects|tests/([\w-]+/)?docs/(test_prose|waiting))|(^|/)package(-lock)?\.json$"
)


# Extraction.


def blank(text):
    return re.sub(r"\S", " ", text)


def masked(text, spans):
    """Returns the text with everything but these spans blanked; later spans win. A span may carry other text of the same length."""
    result = list(blank(text))
    for start, end, *other in spans:
        result[start:end] = other[0] if other else text[start:end]
    return "".join(result)


CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)|\bhttps?://[^\s)>\"]+|\{[^{}\n]*\}|\$\w+|<[a-zA-Z/!][^<>\n]*>")


# Attributes of HTML that contain prose.
ATTRIBUTE = re.compile(r'\b(?:alt|title|placeholder|aria-label)="(?P<prose>[^"<>]*)"')


def without_code(text):
    def without(found):
        code = found[0]
        hidden = re.sub(r"\S", "_", code)
        for attribute in ATTRIBUTE.finditer(code) if code.startswith("<") else []:
            start, end = attribute.span("prose")
            # With its quotes, which end a phrase.
            hidden = hidden[: start - 1] + code[start - 1 : end + 1] + hidden[end + 1 :]
        return hidden

    return CODE.sub(without, text)


def is_sentence(text):
    """Returns whether a string literal is prose: it has two adjacent words, unlike paths, headers, queries and markup."""
    return re.search(r"[A-Za-z'’]{2,},? [A-Za-z'’]{2,}", text) is not None and not re.search(r"[{}=<>]{2}|\w\(.*\)|^\s*(?:[<\[]|\{\W)|; *charset|\\[nr]\w+:", text)


RUST = re.compile(
    r"""(?P<comment>//[/!]?(?P<prose>[^\n]*)) | (?P<block>/\*.*?\*/)
      | b?r(?P<hashes>\#*)"(?P<raw>.*?)"(?P=hashes) | b?"(?P<string>(?:\\.|[^"\\])*)"
      | '(?:\\[^\n]+?|[^\\'\n])' | \bfn\ (?P<name>[a-z]+(?:_[a-z0-9]+){3,})\(""",
    re.S | re.X,
)


def of_rust(text):
    spans, fence = [], False
    for found in RUST.finditer(text):
        if found["prose"] is not None:
            # Examples in doc comments are code.
            if found["prose"].strip().startswith("```"):
                fence = not fence
            elif not fence:
                spans.append((*found.span("prose"), without_code(found["prose"])))
        elif found["block"]:
            spans.append((*found.span("block"), without_code(found["block"])))
        elif found["name"]:
            spans.append((*found.span("name"), found["name"].replace("_", " ")))
        for kind in ("string", "raw"):
            if found[kind] and is_sentence(found[kind]):
                start, end = found.span(kind)
                # The quotes stay, so that two strings are not a phrase.
                spans.append((start - 1, end + 1, f'"{without_code(found[kind])}"'))
    return masked(text, spans)


def of_python(text):
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT":
            spans.append((start + 1, end, without_code(text[start + 1 : end])))
        elif kind in ("STRING", "FSTRING_MIDDLE") and is_sentence(text[start:end].strip("rbfRBF\"'")):
            spans.append((start, end, without_code(text[start:end])))
        elif kind == "NAME" and re.fullmatch(r"test(_[a-z0-9]+){3,}", token.string):
            spans.append((start, end, token.string.replace("_", " ")))
    return masked(text, spans)


MARKDOWN_CODE = re.compile(r"^( *)```.*?\n\1```$|<!--.*?-->|(?<=\])\([^)\s]*\)|^\[[^\]]+\]: +\S+", re.M | re.S)


def of_markdown(text):
    def without(found):
        # Comments in commands are prose.
        if "```" in found[0]:
            return "\n".join(re.sub(r"^(.*?\s# |# |.*)", lambda code: blank(code[0]), line) for line in found[0].split("\n"))
        return blank(found[0])

    return without_code(MARKDOWN_CODE.sub(without, text))


COMMENT = re.compile(r"(?:^|(?<=\s))#+[ \t](?P<prose>[^\n]*)", re.M)
QUOTED = re.compile(r'"(?P<prose>(?:\\.|[^"\\])*)"')


def by(*expressions, sentences=()):
    """Returns an extractor of the groups `prose` of regular expressions; matches of `sentences` must be prose, too."""

    def extract(text):
        spans = []
        for expression in (*expressions, *sentences):
            for found in expression.finditer(text):
                if expression not in sentences or is_sentence(found["prose"]):
                    spans.append((*found.span("prose"), without_code(found["prose"])))
        return masked(text, spans)

    return extract


# Values of these keys are prose: annotations of alerts, alarms, inputs of workflows, schemas.
YAML_TEXT = re.compile(r"^(?P<before> *(?:- )?)(?:summary|description|message|title|AlarmDescription): *(?P<prose>[^\n]*)\n", re.M)
TEMPLATE = re.compile(r"\{\{.*?\}\}|\$\{.*?\}")


def of_yaml(text):
    spans = [(*found.span("prose"), without_code(found["prose"])) for found in COMMENT.finditer(text)]
    for found in YAML_TEXT.finditer(text):
        start, end = found.span("prose")
        if re.fullmatch(r"[>|][-+]?\d? *", found["prose"]):
            start, column = found.end(), len(found["before"])
            end = start + len(re.match(rf"(?: {{{column + 1}}}[^\n]*\n|\n)*", text[start:])[0])
        spans.append((start, end, without_code(TEMPLATE.sub(lambda code: "_" * len(code[0]), text[start:end]))))
    return masked(text, spans)


C_COMMENT = re.compile(r"(?:^|(?<=\s))//+[ \t](?P<prose>[^\n]*)", re.M)
BLOCK_COMMENT = re.compile(r"/\*(?P<prose>.*?)\*/", re.S)
SINGLE_QUOTED = re.compile(r"'(?P<prose>[^'\n\\]*)'")
TERRAFORM_TEXT = re.compile(r'\b(?:description|error_message)\s*=\s*"(?P<prose>(?:\\.|[^"\\])*)"')
JSON_TEXT = re.compile(r'"(?:description|title|summary|errorMessage|\$comment)": *"(?P<prose>(?:\\.|[^"\\])*)"')
HTML_TEXT = re.compile(r">(?P<prose>[^<>]+)<")

of_shell = by(COMMENT, sentences=(QUOTED, SINGLE_QUOTED))
EXTRACTORS = {
    ".rs": of_rust,
    ".py": of_python,
    ".md": of_markdown,
    ".sh": of_shell,
    ".yaml": of_yaml,
    ".yml": of_yaml,
    ".toml": by(COMMENT),
    ".tf": by(COMMENT, TERRAFORM_TEXT),
    ".hcl": by(COMMENT, TERRAFORM_TEXT),
    ".tfvars": by(COMMENT),
    ".tftest.hcl": by(COMMENT, TERRAFORM_TEXT),
    ".query": by(COMMENT),
    ".json": by(JSON_TEXT),
    ".tpl": by(COMMENT, BLOCK_COMMENT, sentences=(QUOTED,)),
    ".txt": by(COMMENT),
    ".js": by(C_COMMENT, BLOCK_COMMENT, sentences=(QUOTED, SINGLE_QUOTED)),
    ".html": by(HTML_TEXT, ATTRIBUTE),
    ".css": by(BLOCK_COMMENT),
    ".go": by(C_COMMENT, sentences=(QUOTED,)),
    ".painless": by(C_COMMENT, BLOCK_COMMENT),
}
NAMED = {"Makefile": by(COMMENT), "Dockerfile": by(COMMENT), "NOTES.txt": lambda text: without_code(text)}


def extractor(name, text):
    """Returns the function that extracts the prose of a file, or None if it has no prose."""
    path = Path(name)
    if path.name in NAMED:
        return NAMED[path.name]
    if path.suffix in EXTRACTORS:
        return EXTRACTORS[path.suffix]
    shebang = text.partition("\n")[0]
    if shebang.startswith("#!/"):
        return of_python if "python" in shebang else of_shell
    return None


def texts():
    """Yields the prose of each file by its name."""
    for name in sorted(listed(TOP)):
        path = TOP / name
        if EXCLUDED.search(name) or path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        extract = extractor(name, text)
        if extract:
            yield name, extract(text)


# Rules.


class Rule(NamedTuple):
    """A rule file: the replacement of each pattern, and one expression with a group per pattern."""

    name: str
    message: str
    instead: dict[str, str]
    expression: re.Pattern

    def check(self, name, text):
        """Yields the findings in a text."""
        for found in self.expression.finditer(text):
            start, words = found.start(), re.sub(r"\s+", " ", found[0])
            pattern = list(self.instead)[found.lastindex - 1]
            message = self.message % ((self.instead[pattern], words) if self.instead[pattern] else (words,))
            line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
            yield Finding(name, line, column, self.name, words, message, pattern)


class Finding(NamedTuple):
    name: str
    line: int
    column: int
    rule: str
    found: str
    message: str
    pattern: str

    def __str__(self):
        return f"{self.name}:{self.line}:{self.column}: {self.message}"


def spaced(pattern):
    """Returns a pattern whose spaces match line ends, too, as Vale's do. In a lookbehind Python needs them to be of one length."""

    def replaced(found):
        part = found[0]
        if part.startswith("(?<"):
            return part.replace(" ", r"\s")
        return r"(?:[ \t]+|[ \t]*\n[ \t]*)" if part.startswith(" ") else part

    return re.sub(r"\(\?<[!=][^)]*\)|\[[^\]]*\]|\\.| +", replaced, pattern)


def rules():
    """Returns the rules of the style."""
    found = []
    for path in sorted(STYLE.glob("*.yml")):
        described = yaml.safe_load(path.read_text())
        entries = described.get("swap") or dict.fromkeys(described.get("tokens", []), "")
        assert entries, f"{path}: neither `swap` nor `tokens`"
        # Vale tries the longest first.
        instead = dict(sorted(entries.items(), key=lambda entry: -len(entry[0])))
        joined = "|".join(f"({spaced(pattern)})" for pattern in instead)
        flags = re.I if described.get("ignorecase") else 0
        found.append(Rule(path.stem, described["message"], instead, re.compile(rf"\b(?:{joined})\b", flags)))
    return found


def check(name, text, by_rules):
    """Returns the findings of the rules in a text."""
    return sorted(finding for rule in by_rules for finding in rule.check(name, text))


def waiting():
    """Returns the files that still have findings, and the number on the list's first line."""
    first, *lines = WAITING.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")], int(re.search(r"\d+", first)[0])


def shrink(found):
    """Removes files that do not exist or have no findings from the list."""
    first, *lines = WAITING.read_text().splitlines()
    lines = [line for line in lines if not line or line.startswith("#") or line in found]
    number = sum(1 for line in lines if line and not line.startswith("#"))
    WAITING.write_text("\n".join([re.sub(r"\d+", str(number), first, count=1), *lines, ""]))


def main(arguments):
    options = {argument for argument in arguments if argument in ("--counts", "--shrink")}
    paths = [argument.rstrip("/") for argument in arguments if argument not in options]
    if any(path.startswith("-") for path in paths):
        print(__doc__, file=sys.stderr)
        return 2
    by_rules = rules()
    found = {name: check(name, text, by_rules) for name, text in texts() if not paths or any(name == path or name.startswith(f"{path}/") for path in paths)}
    found = {name: findings for name, findings in found.items() if findings}
    if "--shrink" in options:
        shrink(found)
        return 0
    for name, findings in found.items():
        print(*([f"{len(findings):5}  {name}"] if "--counts" in options else findings), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
