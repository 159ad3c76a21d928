#!/bin/bash
# man_conf.sh: headgate.conf(5) on standard output: docs/man/headgate.conf.5.in, then every option as "headgate --print=example"
# (standard input) has it.
set -euo pipefail
cat "$(dirname "$0")/../../docs/man/headgate.conf.5.in"
awk '
/^# ---- .* ----$/ {
    if (list) print ".El"
    sub(/^# ---- /, ""); sub(/ ----$/, "")
    print ".Ss " $0 "\n.Bl -tag -width Ds"
    list = 1; text = ""
    next
}
!list { next }
/^# / { sub(/^# /, ""); gsub(/\\/, "\\e"); text = text "\n" ($0 ~ /^[.'"'"']/ ? "\\\\&" $0 : $0); next }
/^#/ {
    sub(/^#/, "")
    at = index($0, " = ")
    value = substr($0, at + 3)
    print ".It Ic " substr($0, 1, at - 1) (value == "\"\"" ? "" : " No = " value) text
    text = ""
}
END { if (list) print ".El\n.Sh FILES\n.Bl -tag -width Ds\n.It Pa /etc/headgate/headgate.conf\n.El\n.Sh SEE ALSO\n.Xr headgate 8" }
'
