# Reads what `ctest --verbose` printed; prints "PASSED FAILED".  doctest programs count by case,
# other programs as one.  A program that failed without a failed case (it crashed, hung, or was
# never built) is one failure; the cases it had finished are unknown and do not count.
/^ *[0-9]+: \[doctest\] test cases: / {
  id = $1 + 0
  line = $0
  gsub(/[^0-9|]/, "", line)  # "1: [doctest] test cases: 9 | 8 passed | 1 failed" -> "19|8|1"
  split(line, figures, "|")
  cases_passed[id] += figures[2]
  cases_failed[id] += figures[3]
  counted[id] = 1
}

/ Test +#[0-9]+: / {
  match($0, /#[0-9]+:/)
  id = substr($0, RSTART + 1, RLENGTH - 2) + 0
  ended[id] = ($0 ~ / Passed / || $0 ~ /\*\*\*Skipped/) ? "passed" : "failed"
}

END {
  for (id in ended) {
    if (counted[id]) {
      passed += cases_passed[id]
      failed += cases_failed[id]
      if (ended[id] == "failed" && cases_failed[id] == 0) failed++
    } else if (ended[id] == "passed") {
      passed++
    } else {
      failed++
    }
  }
  print passed + 0, failed + 0
}
