"""Broken specs, each with everything that is said about it: `line:column: field: message`, then the advice if any.

A case changes numbered lines of `BASE` (line 11 is after its end), or is a whole file.
"""

from dataclasses import dataclass

A, B = "a" * 64, "b" * 64

BASE = f"""\
version: 1
name: digits
image: ml/torch@sha256:{A}
code: {{commit: 0123456789012345678901234567890123456789, repo: ..}}
data:
  digits: {{hash: sha256:{B}, source: s3://acme/digits}}
command: [python, train.py, --lr, "{{params.lr}}"]
params: {{lr: 1e-3, hidden: [128, 64]}}
seed: 7
gpu: none
"""

LOCK = "this is a draft: `executor lock` pins it, `executor submit --lock` pins and runs it"


@dataclass(frozen=True)
class Bad:
    name: str
    change: dict[int, str] | bytes
    said: list[str]
    advice: str = ""

    @property
    def text(self) -> bytes:
        if isinstance(self.change, bytes):
            return self.change
        lines = [*BASE.splitlines(), ""]
        for number, line in self.change.items():
            lines[number - 1] = line
        return "\n".join(lines).encode()


TABLE = [
    Bad("empty_file", b"", ["1:1: the file is empty; a spec is a mapping that starts with `version: 1`"]),
    Bad("only_comments", b"# nothing\n", ["2:1: the file is empty; a spec is a mapping that starts with `version: 1`"]),
    Bad("only_null", b"~\n", ["1:1: expected a mapping that starts with `version: 1`, found a single value"]),
    Bad("a_list", b"- version: 1\n", ["1:1: expected a mapping that starts with `version: 1`, found a list"]),
    Bad("a_word", b"digits\n", ["1:1: expected a mapping that starts with `version: 1`, found a single value"]),
    Bad("two_documents", b"version: 1\n---\nversion: 1\n", ["2:1: a file holds one spec; found a second document"]),
    Bad(
        "directive",
        b"%YAML 1.1\n---\nversion: 1\n",
        ["1:1: a spec has no directives; leave out the line that starts with %"],
    ),
    Bad(
        "tag_directive",
        b"%TAG ! tag:example.org,2000:\n---\nversion: 1\n",
        ["1:1: a spec has no directives; leave out the line that starts with %"],
    ),
    Bad(
        "utf16", b"\xff\xfev\x00e\x00r\x00s\x00i\x00o\x00n\x00:\x00 \x001\x00", ["the file is UTF-16; save it as UTF-8"]
    ),
    Bad("latin1", b"version: 1\nname: caf\xe9\n", ["2:10: the file is not UTF-8: byte 0xe9; save it as UTF-8"]),
    Bad(
        "nul_byte",
        b"version: 1\nname: a\x00b\n",
        ["2:8: the character U+0000 cannot stand in a spec; in double quotes, write it as an escape"],
    ),
    Bad(
        "escape_byte",
        b"name: a\x1bb\n",
        ["1:8: the character U+001B cannot stand in a spec; in double quotes, write it as an escape"],
    ),
    Bad(
        "line_separator",
        b"name: a\xe2\x80\xa8b\n",
        ["1:8: the character U+2028 cannot stand in a spec; in double quotes, write it as an escape"],
    ),
    Bad(
        "inner_byte_order_mark",
        b"name: \xef\xbb\xbfa\n",
        ["1:7: the character U+FEFF cannot stand in a spec; in double quotes, write it as an escape"],
    ),
    Bad(
        "next_line",
        b"name: a\xc2\x85b\n",
        ["1:8: the character U+0085 cannot stand in a spec; in double quotes, write it as an escape"],
    ),
    Bad("too_large", b"# " + b"x" * 70_000, ["the file is larger than 65536 bytes; a spec is small data"]),
    Bad(
        "json_of_another_thing",
        b'{"name": ["a", "b"}\n',
        ["1:19: not YAML: expected ',' or ']', but got '}' (while parsing a flow sequence)"],
    ),
    Bad("tab_indent", {6: "\tdigits: {}"}, ["6:1: not YAML: a tab stands where only spaces may; indent with spaces"]),
    Bad(
        "unclosed_list",
        {7: "command: [python, train.py"},
        ["8:7: not YAML: expected ',' or ']', but got ':' (while parsing a flow sequence)"],
    ),
    Bad(
        "unclosed_quote",
        {2: 'name: "digits'},
        ["7:36: not YAML: expected <block end>, but found '{' (while parsing a block mapping)"],
    ),
    Bad(
        "bad_indent",
        {6: " digits: {}\n  x: {}"},
        ["7:3: not YAML: expected <block end>, but found '<block mapping start>' (while parsing a block mapping)"],
    ),
    Bad("two_colons", {2: "name: digits: mlp"}, ["2:13: not YAML: mapping values are not allowed here"]),
    Bad(
        "bad_escape",
        {2: 'name: "a\\qb"'},
        ["2:10: not YAML: found unknown escape character 'q' (while scanning a double-quoted scalar)"],
    ),
    Bad(
        "at_sign",
        {2: "name: @digits"},
        ["2:7: not YAML: found character '@' that cannot start any token (while scanning for the next token)"],
    ),
    Bad(
        "percent",
        {2: "name: %digits"},
        ["2:7: not YAML: found character '%' that cannot start any token (while scanning for the next token)"],
    ),
    Bad(
        "stray_text",
        {9: "seed: 7\nseven"},
        ["11:1: not YAML: could not find expected ':' (while scanning a simple key)"],
    ),
    Bad(
        "unclosed_brace",
        {8: "params: {lr: 1e-3"},
        ["9:5: not YAML: expected ',' or '}', but got ':' (while parsing a flow mapping)"],
    ),
    Bad(
        "no_space_after_colon",
        {9: "seed:7"},
        ["10:1: not YAML: could not find expected ':' (while scanning a simple key)"],
    ),
    Bad("anchor", {2: "name: &n digits"}, ["2:7: name: anchors are not read: leave out &n"]),
    Bad("alias", {2: "name: *n"}, ["2:7: name: aliases are not read: write the value out instead of *n"]),
    Bad(
        "alias_bomb",
        {8: "params: {a: &a [x, x], b: &b [*a, *a], c: [*b, *b]}"},
        [
            "8:13: params.a: anchors are not read: leave out &a",
            "8:27: params.b: anchors are not read: leave out &b",
            "8:31: params.b[0]: aliases are not read: write the value out instead of *a",
            "8:35: params.b[1]: aliases are not read: write the value out instead of *a",
            "8:44: params.c[0]: aliases are not read: write the value out instead of *b",
            "8:48: params.c[1]: aliases are not read: write the value out instead of *b",
        ],
    ),
    Bad(
        "merge_key",
        {8: "params: {<<: {lr: 1}, lr: 1e-3}"},
        ["8:10: params.<<: merge keys are not read: write the fields out"],
    ),
    Bad("tag", {9: 'seed: !!int "7"'}, ["9:7: seed: tags are not read: leave out '!!int'"]),
    Bad(
        "python_tag",
        {8: "params: !!python/object/apply:os.system [ls]"},
        ["8:9: params: tags are not read: leave out '!!python/object/apply:os.system'"],
    ),
    Bad("anchored_key", {2: "&k name: digits"}, ["2:1: name: anchors and tags are not read: leave them out"]),
    Bad("list_as_key", {8: "params: {[a, b]: 1, lr: 1}"}, ["8:10: params: a key is text, found a list"]),
    Bad("mapping_as_key", {8: "params: {lr: 1, {a: 1}: 2}"}, ["8:17: params: a key is text, found a mapping"]),
    Bad(
        "too_deep",
        {8: "params: {lr: 1, x: [[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]}"},
        ["8:39: params.x[0]: nested more than 20 levels deep"],
    ),
    Bad("duplicate_key", {9: "seed: 7\nseed: 8"}, ["10:1: seed: given twice; first on line 9"]),
    Bad("duplicate_parameter", {8: 'params: {lr: 1, "lr": 2}'}, ["8:17: params.lr: given twice; first on line 8"]),
    Bad(
        "lone_surrogate",
        {8: 'params: {lr: 1, x: "\\ud800"}'},
        ["8:20: params.x: half of a surrogate pair is not a character; write \\U and eight digits"],
    ),
    Bad(
        "nan",
        {8: "params: {lr: .nan}"},
        ["8:14: params.lr: expected a finite number, found .nan; write it as quoted text"],
    ),
    Bad(
        "infinity",
        {8: "params: {lr: -.INF}"},
        ["8:14: params.lr: expected a finite number, found -.INF; write it as quoted text"],
    ),
    Bad(
        "float_too_large",
        {8: "params: {lr: 1e400}"},
        ["8:14: params.lr: too large for a 64-bit number: 1e400; write it as quoted text"],
    ),
    Bad(
        "float_too_small",
        {8: "params: {lr: 1e-400}"},
        ["8:14: params.lr: too small for a 64-bit number: 1e-400 would be 0; write it as quoted text"],
    ),
    Bad(
        "integer_too_wide",
        {8: "params: {lr: 18446744073709551616}"},
        ["8:14: params.lr: a whole number must fit in 64 bits, found 18446744073709551616; write it as quoted text"],
    ),
    Bad(
        "hex_too_wide",
        {8: "params: {lr: 0x10000000000000000}"},
        ["8:14: params.lr: a whole number must fit in 64 bits, found 0x10000000000000000; write it as quoted text"],
    ),
    Bad(
        "integer_absurd",
        {8: "params: {lr: " + "9" * 5000 + "}"},
        [
            "8:14: params.lr: a whole number must fit in 64 bits, found 9999999999999999999999999999999999999...; write it as quoted text"
        ],
    ),
    Bad("unknown_field", {10: "gpus: none"}, ["10:1: gpus: unknown field; did you mean `gpu`?"]),
    Bad(
        "unknown_field_unlike_any",
        {11: "zzz: 1"},
        [
            "11:1: zzz: unknown field; expected `version`, `name`, `image`, `code`, `data`, `command`, `params`, `seed`, `gpu`, `cpu`, `env`, `network`, `workdir`, `determinism`, `tier`, `outputs`, `metrics`, `resources` or `labels`"
        ],
    ),
    Bad(
        "empty_key",
        {11: ": 1"},
        ["11:1: not YAML: expected <block end>, but found ':' (while parsing a block mapping)"],
    ),
    Bad("version_missing", {1: "# nothing"}, ["2:1: version: missing: schema version of this file"]),
    Bad("version_two", {1: "version: 2"}, ["1:1: version: expected 1, the version that this executor reads, found 2"]),
    Bad(
        "version_text",
        {1: 'version: "1"'},
        ["1:1: version: expected 1, the version that this executor reads, found '1'"],
    ),
    Bad(
        "version_float",
        {1: "version: 1.0"},
        ["1:1: version: expected 1, the version that this executor reads, found 1.0"],
    ),
    Bad(
        "version_true",
        {1: "version: true"},
        ["1:1: version: expected 1, the version that this executor reads, found true"],
    ),
    Bad("name_missing", {2: "#"}, ["1:1: name: missing: a label for people, not identity"]),
    Bad(
        "name_empty",
        {2: "name:"},
        ["2:1: name: a name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: found ''"],
    ),
    Bad(
        "name_with_space",
        {2: "name: my run"},
        [
            "2:1: name: a name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: found 'my run'"
        ],
    ),
    Bad("name_list", {2: "name: [a]"}, ["2:1: name: expected text, found a list"]),
    Bad(
        "name_path",
        {2: "name: ../x"},
        [
            "2:1: name: a name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: found '../x'"
        ],
    ),
    Bad(
        "image_missing",
        {3: "#"},
        ["1:1: image: missing: the image by the digest of its manifest: `name@sha256:<64 hex>`; the name is a hint"],
    ),
    Bad(
        "image_tag_only",
        {3: "image: ml/torch:2.13"},
        ["3:1: image: not named by its digest: expected ml/torch:2.13@sha256:<64 hex>; `executor lock` finds it"],
        LOCK,
    ),
    Bad(
        "image_bare",
        {3: "image: torch"},
        ["3:1: image: not named by its digest: expected torch@sha256:<64 hex>; `executor lock` finds it"],
        LOCK,
    ),
    Bad(
        "image_short_digest",
        {3: "image: torch@sha256:abc"},
        [
            "3:1: image: expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found 'torch@sha256:abc'"
        ],
    ),
    Bad(
        "image_other_algorithm",
        {3: "image: torch@sha512:" + A},
        [
            f"3:1: image: expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found 'torch@sha512:{A}'"
        ],
    ),
    Bad(
        "image_upper_case",
        {3: "image: ML/Torch@sha256:" + A},
        [
            f"3:1: image: expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found 'ML/Torch@sha256:{A}'"
        ],
    ),
    Bad(
        "image_number",
        {3: "image: 7"},
        ["3:1: image: not named by its digest: expected 7@sha256:<64 hex>; `executor lock` finds it"],
        LOCK,
    ),
    Bad(
        "image_mapping",
        {3: "image: {name: torch}"},
        ["3:1: image: expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found a mapping"],
    ),
    Bad(
        "image_empty",
        {3: "image:"},
        ["3:1: image: expected an image such as registry.example.org/ml/torch@sha256:<64 hex>, found ''"],
    ),
    Bad(
        "commit_short",
        {4: "code: {commit: 0123abc}"},
        [
            "4:8: code.commit: expected a full commit id of 40 lower-case hex digits, found '0123abc'; a branch or tag goes into `branch` of a draft"
        ],
    ),
    Bad(
        "commit_upper_case",
        {4: "code: {commit: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}"},
        [
            "4:8: code.commit: expected a full commit id of 40 lower-case hex digits, found 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'; a branch or tag goes into `branch` of a draft"
        ],
    ),
    Bad(
        "commit_branch",
        {4: "code: {commit: main}"},
        [
            "4:8: code.commit: expected a full commit id of 40 lower-case hex digits, found 'main'; a branch or tag goes into `branch` of a draft"
        ],
    ),
    Bad(
        "commit_missing",
        {4: "code: {repo: ..}"},
        ["4:1: code.commit: missing: full commit id of 40 hex digits: identity; `executor lock` finds it"],
        LOCK,
    ),
    Bad(
        "commit_empty",
        {4: "code: {commit: , repo: .}"},
        [
            "4:8: code.commit: expected a full commit id of 40 lower-case hex digits, found ''; a branch or tag goes into `branch` of a draft"
        ],
    ),
    Bad(
        "code_branch",
        {4: "code: {branch: main}"},
        [
            "4:1: code.commit: missing: full commit id of 40 hex digits: identity; `executor lock` finds it",
            "4:8: code.branch: only a draft has `branch`; `executor lock` puts the commit in its place",
        ],
        LOCK,
    ),
    Bad("code_text", {4: "code: .."}, ["4:1: code: expected a mapping with `commit` and `repo`, or none, found '..'"]),
    Bad(
        "code_misspelt",
        {4: "code: {comit: 0000000000000000000000000000000000000000}"},
        [
            "4:1: code.commit: missing: full commit id of 40 hex digits: identity; `executor lock` finds it",
            "4:8: code.comit: unknown field; did you mean `commit`?",
        ],
    ),
    Bad(
        "repo_option",
        {4: "code: {commit: 0000000000000000000000000000000000000000, repo: --upload-pack=x}"},
        ["4:58: code.repo: expected a path or an address, found '--upload-pack=x': it must not start with `-`"],
    ),
    Bad(
        "repo_password",
        {4: 'code: {commit: 0000000000000000000000000000000000000000, repo: "https://me:secret@example.org/x.git"}'},
        ["4:58: code.repo: an address must not hold a password: it would be kept in every record of the run"],
    ),
    Bad(
        "repo_home",
        {4: "code: {commit: 0000000000000000000000000000000000000000, repo: ~/code}"},
        ["4:58: code.repo: expected a path or an address, found '~/code': it must not start with `~`"],
    ),
    Bad(
        "repo_nul",
        {4: 'code: {commit: 0000000000000000000000000000000000000000, repo: "a\\0b"}'},
        ["4:58: code.repo: text must not hold a NUL character"],
    ),
    Bad(
        "data_empty",
        {6: "#"},
        ["5:1: data: expected a mapping, found nothing; leave the field out to take its default"],
    ),
    Bad("data_list", {5: "data: []", 6: "#"}, ["5:1: data: expected a mapping, found an empty list"]),
    Bad(
        "data_unhashed",
        {6: "  digits: {source: ../digits}"},
        [
            "6:3: data.digits.hash: missing: tree hash of its files, `sha256:<64 hex>`: identity; `executor lock` finds it"
        ],
        LOCK,
    ),
    Bad(
        "data_bad_hash",
        {6: "  digits: {hash: " + B + "}"},
        [f"6:12: data.digits.hash: expected sha256:<64 lower-case hex digits>, found '{B}'"],
    ),
    Bad(
        "data_md5",
        {6: "  digits: {hash: md5:abc}"},
        ["6:12: data.digits.hash: expected sha256:<64 lower-case hex digits>, found 'md5:abc'"],
    ),
    Bad(
        "data_text",
        {6: "  digits: ../digits"},
        ["6:3: data.digits: expected a mapping with `hash` and `source`, found '../digits'"],
    ),
    Bad(
        "data_bad_name",
        {6: "  ../digits: {hash: sha256:" + B + "}"},
        [
            "6:3: data.../digits: a data name is 1 to 100 letters, digits, `.`, `_`, `-`, and starts with a letter or digit: found '../digits'"
        ],
    ),
    Bad(
        "data_unknown",
        {6: "  digits: {hash: sha256:" + B + ", path: x}"},
        ["6:91: data.digits.path: unknown field; expected `hash` or `source`"],
    ),
    Bad(
        "data_two_problems",
        {6: "  digits: {hash: 1, sorce: x}"},
        [
            "6:12: data.digits.hash: expected sha256:<64 lower-case hex digits>, found '1'",
            "6:21: data.digits.sorce: unknown field; did you mean `source`?",
        ],
    ),
    Bad(
        "command_missing",
        {7: "#"},
        [
            "1:1: command: missing: the program and its arguments; `{params.x}` and `{seed}` are filled in (`{{seed}}` stays as it is)"
        ],
    ),
    Bad(
        "command_text",
        {7: "command: python train.py"},
        ["7:1: command: expected a list of at least one text, found 'python train.py'; write a list: [a, b]"],
    ),
    Bad(
        "command_empty_list",
        {7: "command: []"},
        ["7:1: command: expected a list of at least one text, found an empty list"],
    ),
    Bad("command_empty", {7: "command:"}, ["7:1: command: expected a list of at least one text, found nothing"]),
    Bad("command_nested", {7: "command: [python, [train.py]]"}, ["7:19: command[1]: expected text, found a list"]),
    Bad(
        "command_unknown_parameter",
        {7: 'command: [python, "{params.rate}"]'},
        ["7:19: command[1]: {params.rate} names no parameter; there is hidden, lr"],
    ),
    Bad(
        "command_into_a_number",
        {7: 'command: [python, "{params.lr.x}", "{params.hidden.0}"]'},
        [
            "7:19: command[1]: {params.lr.x} names no parameter; there is none",
            "7:36: command[2]: {params.hidden.0} names no parameter; there is none",
        ],
    ),
    Bad("command_without_parameters", {8: "#"}, ["7:35: command[3]: {params.lr} names no parameter; there is none"]),
    Bad("command_nul", {7: 'command: [python, "a\\0b"]'}, ["7:19: command[1]: text must not hold a NUL character"]),
    Bad(
        "command_too_long",
        {7: 'command: [python, "' + "{params.x}" * 40 + '"]', 8: "params: {x: " + "y" * 4000 + "}"},
        ["7:19: command[1]: longer than 131071 bytes once its parameters are filled in"],
    ),
    Bad("params_list", {8: "params: [1, 2]"}, ["8:1: params: expected a mapping, found a list"]),
    Bad(
        "params_bad_name",
        {8: 'params: {lr: 1, "learning rate": 1}'},
        [
            "8:17: params.'learning rate': a parameter's name is 1 to 128 letters, digits, `_` and `-`, and starts with a letter or `_`: found 'learning rate'"
        ],
    ),
    Bad(
        "params_two_bad",
        {8: 'params: {lr: 1, "a.b": 1, x: {1: 2}}'},
        [
            "8:17: params.a.b: a parameter's name is 1 to 128 letters, digits, `_` and `-`, and starts with a letter or `_`: found 'a.b'",
            "8:31: params.x.1: a parameter's name is 1 to 128 letters, digits, `_` and `-`, and starts with a letter or `_`: found '1'",
        ],
    ),
    Bad(
        "params_collide",
        {8: "params: {lr: 1, a-b: 1, a_b: 2}"},
        ["8:1: params: two parameters become the same environment variable EXECUTOR_PARAM_A_B; rename one of them"],
    ),
    Bad(
        "params_collide_nested",
        {8: "params: {lr: 1, a: {b: 1}, a_b: 2}"},
        ["8:1: params: two parameters become the same environment variable EXECUTOR_PARAM_A_B; rename one of them"],
    ),
    Bad("params_nul", {8: 'params: {lr: 1, x: ["a\\0b"]}'}, ["8:21: params.x[0]: text must not hold a NUL character"]),
    Bad(
        "params_deep",
        {8: "params: {lr: 1, x: [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}"},
        ["8:36: params.x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested more than 16 levels deep"],
    ),
    Bad("seed_missing", {9: "#"}, ["1:1: seed: missing: seed of every random-number generator, 0 to 2**64-1"]),
    Bad(
        "seed_text",
        {9: 'seed: "7"'},
        ["9:1: seed: expected a whole number from 0 to 18446744073709551615, found '7'; write it without quotes"],
    ),
    Bad(
        "seed_float",
        {9: "seed: 7.0"},
        [
            "9:1: seed: expected a whole number from 0 to 18446744073709551615, found 7.0; write it without a point or an exponent"
        ],
    ),
    Bad(
        "seed_negative",
        {9: "seed: -1"},
        ["9:1: seed: expected a whole number from 0 to 18446744073709551615, found -1"],
    ),
    Bad(
        "seed_too_wide",
        {9: "seed: 18446744073709551616"},
        ["9:7: seed: a whole number must fit in 64 bits, found 18446744073709551616"],
    ),
    Bad(
        "seed_true",
        {9: "seed: true"},
        ["9:1: seed: expected a whole number from 0 to 18446744073709551615, found true"],
    ),
    Bad(
        "seed_empty", {9: "seed:"}, ["9:1: seed: expected a whole number from 0 to 18446744073709551615, found nothing"]
    ),
    Bad(
        "seed_word",
        {9: "seed: random"},
        ["9:1: seed: expected a whole number from 0 to 18446744073709551615, found 'random'"],
    ),
    Bad(
        "gpu_text", {10: "gpu: H100"}, ["10:1: gpu: expected a mapping with `type` and `count`, or none, found 'H100'"]
    ),
    Bad(
        "gpu_none_in_capitals",
        {10: "gpu: None"},
        ["10:1: gpu: expected a mapping with `type` and `count`, or none, found 'None'"],
    ),
    Bad(
        "gpu_without_type",
        {10: "gpu: {count: 1}"},
        [
            "10:1: gpu.type: missing: product name as NVML gives it, MIG profile included, such as `NVIDIA H100 80GB HBM3`"
        ],
    ),
    Bad(
        "gpu_empty_type",
        {10: 'gpu: {type: "", count: 1}'},
        ["10:7: gpu.type: expected text that is not empty, found ''"],
    ),
    Bad(
        "gpu_no_count",
        {10: "gpu: {type: H100, count: 0}"},
        ["10:19: gpu.count: expected a whole number from 1 to 64, found 0"],
    ),
    Bad(
        "gpu_count_text",
        {10: "gpu: {type: H100, count: two}"},
        ["10:19: gpu.count: expected a whole number from 1 to 64, found 'two'"],
    ),
    Bad("gpu_number", {10: "gpu: 1"}, ["10:1: gpu: expected a mapping with `type` and `count`, or none, found 1"]),
    Bad(
        "cpu_threads_zero",
        {11: "cpu: {threads: 0}"},
        ["11:7: cpu.threads: expected a whole number from 1 to 1024, found 0"],
    ),
    Bad(
        "cpu_isa_unknown",
        {11: "cpu: {isa: sse2}"},
        ["11:7: cpu.isa: expected `default`, `avx2` or `avx512`, found 'sse2'"],
    ),
    Bad("cpu_number", {11: "cpu: 4"}, ["11:1: cpu: expected a mapping with `threads` and `isa`, found 4"]),
    Bad("cpu_misspelt", {11: "cpu: {thread: 4}"}, ["11:7: cpu.thread: unknown field; did you mean `threads`?"]),
    Bad("env_list", {11: "env: [A=1]"}, ["11:1: env: expected a mapping, found a list"]),
    Bad(
        "env_bad_name",
        {11: "env: {1A: x}"},
        ["11:7: env.1A: a variable's name is 1 to 128 letters, digits and `_`, and starts with no digit: found '1A'"],
    ),
    Bad(
        "env_dashes",
        {11: "env: {A-B: x, C D: y}"},
        [
            "11:7: env.A-B: a variable's name is 1 to 128 letters, digits and `_`, and starts with no digit: found 'A-B'",
            "11:15: env.'C D': a variable's name is 1 to 128 letters, digits and `_`, and starts with no digit: found 'C D'",
        ],
    ),
    Bad(
        "env_reserved",
        {11: "env: {PATH: /bin, EXECUTOR_X: 1}"},
        [
            "11:7: env.PATH: PATH is set by the executor and cannot be set in a spec",
            "11:19: env.EXECUTOR_X: EXECUTOR_X is set by the executor and cannot be set in a spec",
        ],
    ),
    Bad("env_nested", {11: "env: {A: {B: 1}}"}, ["11:7: env.A: expected text, found a mapping"]),
    Bad("env_nul", {11: 'env: {A: "x\\0y"}'}, ["11:7: env.A: text must not hold a NUL character"]),
    Bad(
        "network_yes",
        {11: "network: yes"},
        ["11:1: network: expected true or false, found 'yes'; yes, no, on and off are text in YAML 1.2"],
    ),
    Bad("network_text", {11: 'network: "true"'}, ["11:1: network: expected true or false, found 'true'"]),
    Bad("network_number", {11: "network: 1"}, ["11:1: network: expected true or false, found 1"]),
    Bad("workdir_unknown", {11: "workdir: /tmp"}, ["11:1: workdir: expected `/code` or `/outputs`, found '/tmp'"]),
    Bad(
        "determinism_unknown",
        {11: "determinism: stricct"},
        ["11:1: determinism: expected `strict`, `warn` or `off`, found 'stricct'"],
    ),
    Bad(
        "determinism_true",
        {11: "determinism: true"},
        ["11:1: determinism: expected `strict`, `warn` or `off`, found 'true'"],
    ),
    Bad("tier_unknown", {11: "tier: fast"}, ["11:1: tier: expected `native` or `portable`, found 'fast'"]),
    Bad(
        "outputs_text_for_list",
        {11: 'outputs: {weights: "*.pt"}'},
        ["11:11: outputs.weights: expected a list of texts, found '*.pt'; write a list: [a, b]"],
    ),
    Bad(
        "outputs_absolute",
        {11: "outputs: {weights: [/outputs/x.pt]}"},
        [
            "11:21: outputs.weights[0]: a pattern is relative to /outputs, without `.`, `..` or an empty name: '/outputs/x.pt'"
        ],
    ),
    Bad(
        "outputs_escape",
        {11: "outputs: {ignore: [../x]}"},
        ["11:20: outputs.ignore[0]: a pattern is relative to /outputs, without `.`, `..` or an empty name: '../x'"],
    ),
    Bad(
        "outputs_bad_stars",
        {11: 'outputs: {ignore: ["tb**"]}'},
        ["11:20: outputs.ignore[0]: `**` stands alone between slashes: 'tb**'"],
    ),
    Bad(
        "outputs_bad_set",
        {11: 'outputs: {ignore: ["a[b"]}'},
        [
            "11:20: outputs.ignore[0]: a `[` has no `]` after it in the same name; write `[[]` for the character itself: 'a[b'"
        ],
    ),
    Bad(
        "outputs_backward_range",
        {11: 'outputs: {ignore: ["[z-a]"]}'},
        ["11:20: outputs.ignore[0]: a range in `[z-a]` runs backwards: '[z-a]'"],
    ),
    Bad(
        "outputs_empty_pattern",
        {11: 'outputs: {ignore: [""]}'},
        ["11:20: outputs.ignore[0]: a pattern is 1 to 256 characters: ''"],
    ),
    Bad(
        "metrics_pattern",
        {11: 'outputs: {metrics: "*.jsonl"}'},
        ["11:11: outputs.metrics: expected the path of one file, found the pattern '*.jsonl'"],
    ),
    Bad(
        "metrics_telemetry",
        {11: "outputs: {metrics: telemetry.jsonl}"},
        ["11:11: outputs.metrics: telemetry.jsonl is never compared: keep numbers that must repeat in another file"],
    ),
    Bad(
        "outputs_unknown",
        {11: "outputs: {weight: []}"},
        ["11:11: outputs.weight: unknown field; did you mean `weights`?"],
    ),
    Bad(
        "stdout_not_a_pattern",
        {11: "metrics: {stdout: '(?P<x>'}"},
        [
            "11:11: metrics.stdout: not a regular expression that Python reads: missing ), unterminated subpattern at position 0"
        ],
    ),
    Bad(
        "stdout_without_groups",
        {11: "metrics: {stdout: 'loss (.*)'}"},
        ["11:11: metrics.stdout: expected a regular expression with a named group, such as (?P<val_loss>\\S+)"],
    ),
    Bad(
        "stdout_ambiguous",
        {11: "metrics: {stdout: '(?P<x>[[a]])'}"},
        ["11:11: metrics.stdout: not a regular expression that Python reads: Possible nested set at position 7"],
    ),
    Bad(
        "metrics_text",
        {11: "metrics: metrics.jsonl"},
        ["11:1: metrics: expected a mapping with `stdout`, found 'metrics.jsonl'"],
    ),
    Bad(
        "memory_unknown_unit",
        {11: "resources: {memory: 8GB8}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found '8GB8'"],
    ),
    Bad(
        "memory_lower_case",
        {11: "resources: {memory: 8gib}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found '8gib'"],
    ),
    Bad(
        "memory_zero",
        {11: "resources: {memory: 0}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found 0"],
    ),
    Bad(
        "memory_negative",
        {11: "resources: {memory: -1GiB}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found '-1GiB'"],
    ),
    Bad(
        "memory_float",
        {11: "resources: {memory: 1e9}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found 1000000000.0"],
    ),
    Bad(
        "memory_absurd",
        {11: "resources: {memory: 99999999999TiB}"},
        ["11:13: resources.memory: expected a size such as 8GiB or 512MiB, found '99999999999TiB'"],
    ),
    Bad(
        "timeout_unknown_unit",
        {11: "resources: {timeout: 2 weeks}"},
        ["11:13: resources.timeout: expected a duration such as 90s, 30m, 2h or 1d, found '2 weeks'"],
    ),
    Bad(
        "timeout_clock",
        {11: "resources: {timeout: 2:30}"},
        ["11:13: resources.timeout: expected a duration such as 90s, 30m, 2h or 1d, found '2:30'"],
    ),
    Bad(
        "pids_few",
        {11: "resources: {pids: 1}"},
        ["11:13: resources.pids: expected a whole number from 16 to 4194304, found 1"],
    ),
    Bad(
        "resources_unknown",
        {11: "resources: {memroy: 1GiB}"},
        ["11:13: resources.memroy: unknown field; did you mean `memory`?"],
    ),
    Bad("labels_list", {11: "labels: [a]"}, ["11:1: labels: expected a mapping, found a list"]),
    Bad(
        "labels_bad_name",
        {11: "labels: {-a: b}"},
        [
            "11:10: labels.-a: a label's name is 1 to 63 letters, digits, `.`, `_`, `/`, `-`, and starts with a letter or digit: found '-a'"
        ],
    ),
    Bad("labels_nested", {11: "labels: {a: [b]}"}, ["11:10: labels.a: expected text, found a list"]),
    Bad("labels_nul", {11: 'labels: {a: "\\0"}'}, ["11:10: labels.a: text must not hold a NUL character"]),
    Bad(
        "many_at_once",
        {
            1: "version: 1.1",
            3: "image: torch",
            4: "code: {branch: dev}",
            6: "  digits: {source: ../digits}",
            8: "params: {lr: .nan}",
            9: "sead: 7",
            11: "network: no\nname: again",
        },
        [
            "1:1: version: expected 1, the version that this executor reads, found 1.1",
            "1:1: seed: missing: seed of every random-number generator, 0 to 2**64-1",
            "3:1: image: not named by its digest: expected torch@sha256:<64 hex>; `executor lock` finds it",
            "4:1: code.commit: missing: full commit id of 40 hex digits: identity; `executor lock` finds it",
            "4:8: code.branch: only a draft has `branch`; `executor lock` puts the commit in its place",
            "6:3: data.digits.hash: missing: tree hash of its files, `sha256:<64 hex>`: identity; `executor lock` finds it",
            "8:14: params.lr: expected a finite number, found .nan; write it as quoted text",
            "9:1: sead: unknown field; did you mean `seed`?",
            "11:1: network: expected true or false, found 'no'; yes, no, on and off are text in YAML 1.2",
            "12:1: name: given twice; first on line 2",
        ],
    ),
]
