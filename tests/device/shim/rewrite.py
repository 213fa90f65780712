#!/usr/bin/env python3
"""rewrite.py FILE.cu OUT.cpp: the two things of CUDA C++ that a host compiler cannot parse.

  kernel<A, B><<<grid, block, bytes, stream>>> (...)
      -> pw_shim::configure ("kernel<A, B>", kernel<A, B>, grid, block, bytes, stream) (...)
  __shared__ float a[32], b;      -> references to the block's own memory
  extern __shared__ float a[];    -> a pointer to the block's dynamic shared memory

Nothing else is changed and lines stay where they are, so every message shows the .cu file's line.
What is not understood is an error, never passed on.
"""
import re
import sys


class NotUnderstood(Exception):
    def __init__(self, at, what):
        super().__init__(what)
        self.at = at
        self.what = what


def blank_comments_and_strings(text):
    """The same length and lines, with spaces for what is not code."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r'[^\n]', ' ', m[0]), text, flags=re.S)


def launched_name_start(code, end):
    """Where the kernel's name begins that ends at END; template arguments belong to it."""
    i = end
    while code[i - 1].isspace():
        i -= 1
    if code[i - 1] == '>':
        depth = 0
        while i > 0:
            i -= 1
            depth += {'>': 1, '<': -1}.get(code[i], 0)
            if depth == 0:
                break
    match = re.search(r'[A-Za-z_][\w:]*\s*$', code[:i])
    if not match:
        raise NotUnderstood(end, 'a launch without a kernel before <<<')
    return match.start()


def rewrite_launch(text, code, at):
    end = code.find('>>>', at)
    if end < 0 or not re.match(r'>>>\s*\(', code[end:]):
        raise NotUnderstood(at, '<<< without >>> and arguments')
    start = launched_name_start(code, at)
    name = text[start:at].strip()
    label = re.sub(r'\s+', ' ', name).replace('\\', '').replace('"', '')
    new = 'pw_shim::configure ("%s", %s, %s)' % (label, name, text[at + 3:end])
    return start, end + 3, new


DYNAMIC = re.compile(r'extern\s+__shared__\s+(?:__align__\s*\(\d+\)\s*|alignas\s*\([^)]*\)\s*)?'
                     r'([\w:\s]+?)\s+(\w+)\s*\[\s*\]\s*;')
STATIC = re.compile(r'(?:static\s+)?__shared__\s+(?:__align__\s*\(\d+\)\s*|alignas\s*\([^)]*\)\s*)?'
                    r'((?:const\s+|unsigned\s+|signed\s+|long\s+)*[\w:]+(?:\s*<[^;]*?>)?)\s+([^;=()]+);')


def rewrite_dynamic(match):
    kind, name = match[1], match[2]
    return '%s *%s = (%s *)pw_shim_dynamic_shared ();' % (kind, name, kind)


def rewrite_static(match):
    kind, new = match[1], ''
    for declarator in match[2].split(','):
        parts = re.match(r'\s*(\w+)\s*((?:\[[^\]]*\]\s*)*)$', declarator)
        if not parts:
            raise NotUnderstood(match.start(), 'a __shared__ declaration of this form')
        name, dimensions = parts[1], parts[2]
        new += ('typedef %s pw_type_of_%s%s; static const char pw_key_of_%s = 0; '
                'pw_type_of_%s &%s = *(pw_type_of_%s *)pw_shim_shared (&pw_key_of_%s, '
                'sizeof (pw_type_of_%s)); '
                % (kind, name, dimensions, name, name, name, name, name, name))
    return new


def inside_a_function(code, at):
    before = re.sub(r'extern\s+"C"\s*\{|namespace[\w\s:]*\{', '', code[:at])
    return before.count('{') > before.count('}')


def edits(text, code):
    found = [rewrite_launch(text, code, m.start()) for m in re.finditer('<<<', code)]
    for pattern, make in ((DYNAMIC, rewrite_dynamic), (STATIC, rewrite_static)):
        for m in pattern.finditer(code):
            if any(start <= m.start() < end for start, end, _ in found):
                continue
            if not inside_a_function(code, m.start()):
                raise NotUnderstood(m.start(), '__shared__ outside a function')
            found.append((m.start(), m.end(), make(m)))
    return sorted(found)


def rewrite(text):
    code = blank_comments_and_strings(text)
    out, done = '', 0
    for start, end, new in edits(text, code):
        lines = text.count('\n', start, end) - new.count('\n')
        out += text[done:start] + new + '\n' * lines
        done = end
    out += text[done:]
    left = re.search(r'<<<|\b__shared__\b', blank_comments_and_strings(out))
    if left:
        line = out.count('\n', 0, left.start())
        raise NotUnderstood(len('\n'.join(text.split('\n')[:line])) + 1, left[0] + ' of this form')
    return out


def main():
    path, target = sys.argv[1:3]
    with open(path, encoding='utf-8') as f:
        text = f.read()
    try:
        result = rewrite(text)
    except NotUnderstood as error:
        sys.exit('%s:%d: not understood: %s' % (path, text.count('\n', 0, error.at) + 1, error.what))
    with open(target, 'w', encoding='utf-8') as f:
        f.write('#line 1 "%s"\n%s' % (path, result))


if __name__ == '__main__':
    main()
