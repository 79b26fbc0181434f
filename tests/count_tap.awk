# Reads TAP of one or more bats runs (and sanitizer reports after it); prints "PASSED FAILED".
# A test that was planned and never reported is a failure, a skipped one is neither.  So is each
# report of a sanitizer, of whatever program it came from.
/^1\.\.[0-9]+$/ { planned += substr($0, 4) }
/^ok / { reported++; if ($0 !~ /# skip/) passed++ }
/^not ok / { reported++; failed++ }
/ERROR: (AddressSanitizer|LeakSanitizer)|WARNING: ThreadSanitizer|: runtime error: / { failed++ }

END {
  if (planned > reported) failed += planned - reported
  print passed + 0, failed + 0
}
