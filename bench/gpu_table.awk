# Lines "row, figure, value, unit, relation, mark", "test, name, outcome, reason", "skip, name, reason"
# as one table, separated by tabs in the input. Exit status 1 where a test failed or a mark was missed.
function number (x) { return x >= 1000 || x <= -1000 ? sprintf ("%.0f", x) : sprintf ("%.3g", x) }
function add (a, b, c, d, e) { n++; cell[n, 1] = a; cell[n, 2] = b; cell[n, 3] = c; cell[n, 4] = d; cell[n, 5] = e }
BEGIN { add ("figure", "measured", "mark", "ratio", "") }
$1 == "test" { add ($2, $3, "passed", "", $4); if ($3 == "FAILED") failed = 1 }
$1 == "skip" { add ($2, "skipped", "", "", $3) }
$1 == "row" && ($5 == "-" || tiny != "") { add ($2, number ($3) " " $4, "", "", "") }
$1 == "row" && $5 != "-" && tiny == "" {
  met = $5 == ">=" ? $3 + 0 >= $6 + 0 : $3 + 0 <= $6 + 0
  if (!met) failed = 1
  add ($2, number ($3) " " $4, $5 " " number ($6) " " $4, $6 + 0 != 0 ? sprintf ("%.2f", $3 / $6) : "", met ? "met" : "MISSED")
}
END {
  for (i = 1; i <= n; i++)
    for (c = 1; c <= 4; c++)
      if (length (cell[i, c]) > width[c]) width[c] = length (cell[i, c])
  for (i = 1; i <= n; i++) {
    line = sprintf ("%-" width[1] "s  %" width[2] "s  %" width[3] "s  %" width[4] "s  %s", cell[i, 1], cell[i, 2], cell[i, 3], cell[i, 4], cell[i, 5])
    sub (/ +$/, "", line)
    print line
  }
  exit failed
}
