#!/usr/bin/env python3
"""host_bodies.py REWRITTEN.cpp OUT.cpp NAME OBJECT...: a file's kernels, registered for nvcc's object.

nvcc's object registers each kernel by its mangled name. OUT is REWRITTEN, what rewrite.py made of
NAME.cu, and a constructor that gives the fake runtime the host's body for each name that the object
of NAME.cu has.
"""
import os
import re
import subprocess
import sys


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kernels_of(path):
    """The mangled names that the object registers: strings among its constants."""
    sections = set(re.findall(r'\.rodata\.str[\w.]*', output_of('readelf', '-SW', path)))
    options = [option for section in sorted(sections) for option in ('-p', section)]
    text = output_of('readelf', '-W', *options, path) if options else ''
    return sorted(set(re.findall(r'\]\s+(_Z\w+)$', text, flags=re.M)))


def registration(mangled, demangled):
    text = demangled.replace('(anonymous namespace)::', '')
    parts = re.match(r'(?:void )?([\w:]+(?:<.*>)?)\((.*)\)$', text)
    if not parts:
        sys.exit('host_bodies.py: not understood: %s' % demangled)
    return ('    pw_shim::register_body ("%s", static_cast<void (*) (%s)> (&%s));\n'
            % (mangled, parts[2], parts[1]))


def main():
    rewritten, target, name = sys.argv[1:4]
    wanted = (name + '.cu.o', name + '.o')
    paths = [path for path in sys.argv[4:] if os.path.basename(path) in wanted]
    if len(paths) != 1:
        sys.exit('host_bodies.py: %d objects of %s.cu' % (len(paths), name))
    mangled = kernels_of(paths[0])
    demangled = output_of('c++filt', *mangled).split('\n') if mangled else []
    with open(rewritten, encoding='utf-8') as f:
        text = f.read()
    text += '\n#line 1 "kernels of %s.cu"\n' % name
    text += '__attribute__ ((constructor)) static void\npw_shim_register_%s () {\n' % name
    text += ''.join(registration(*pair) for pair in zip(mangled, demangled)) + '}\n'
    with open(target, 'w', encoding='utf-8') as f:
        f.write(text)


if __name__ == '__main__':
    main()
