"""An inspection as text to read."""

from typing import Any

WIDTH = 88


def as_text(document: dict[str, Any]) -> str:
    """The document of `inspection.inspect` as lines."""
    made = document["tensorflow_version"] or "an unknown version"
    lines = [document["handle"], f"  saved by TensorFlow {made}, lies in {document['path']}"]
    if document["tags"] != [["serve"]]:
        lines.append(
            "graphs with the tags " + ", ".join(repr(",".join(t)) for t in document["tags"])
        )
    for signature in document["signatures"]:
        lines.append(f"signature {signature['name']}")
        lines += [f"  in   {tensor(t)}" for t in signature["inputs"]]
        lines += [f"  out  {tensor(t)}" for t in signature["outputs"]]
    if not document["signatures"]:
        lines.append("no signature")
    lines.append(f"ops: {sum(document['ops'].values())} nodes, {len(document['ops'])} kinds")
    lines += wrapped(f"{op} {count}" for op, count in document["ops"].items())
    lines.append("on disk")
    for part, size in document["bytes_on_disk"].items():
        lines.append(f"  {part:15}{size / 1e6:10.3f} MB")
    lines.append("weights")
    for dtype, weights in document["weights"].items():
        lines.append(f"  {weights['numbers']:,} {dtype} in {weights['variables']} variables")
    if not document["weights"]:
        lines.append("  none")
    for vocab in document["vocabs"]:
        lines.append(f"vocab: {vocab['tokens']} tokens in {vocab['where']}")
    if not document["vocabs"]:
        lines.append("vocab: none found")
    verdict = document["verdict"]
    if verdict["exportable"]:
        can = "can" if verdict["certain"] else "may"
        lines.append(f"verdict: {can} be exported as {verdict['contract']}: {verdict['reason']}")
    else:
        lines.append(f"verdict: cannot be exported: {verdict['reason']}")
    return "\n".join(lines)


def tensor(document: dict[str, Any]) -> str:
    """One input or output as `name: dtype[shape]`, with `?` for what is free."""
    shape = document["shape"]
    axes = "..." if shape is None else ", ".join("?" if n is None else str(n) for n in shape)
    return f"{document['name']}: {document['dtype']}[{axes}]"


def wrapped(words: Any) -> list[str]:
    """Words in indented lines."""
    lines = [" "]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > WIDTH:
            lines.append(" ")
        lines[-1] += f" {word},"
    return [line.rstrip(",") if line is lines[-1] else line for line in lines]
