// Goal: no text from outside becomes a formula in a spreadsheet, and what is a number stays one.
#include <doctest/doctest.h>

#include "cli/spreadsheet_text.hpp"

TEST_CASE("spreadsheet text: formulas are quoted, numbers and all else are left alone") {
  struct Case {
    const char* text;
    const char* want;
  };
  const Case cases[] = {{"", ""},
                        {"cust-000001", "cust-000001"},
                        {"=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"},
                        {"+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"},
                        {"-2+3", "'-2+3"},
                        {"@SUM(A1)", "'@SUM(A1)"},
                        {"\t=1", "'\t=1"},
                        {"\r=1", "'\r=1"},
                        {"+491701234567", "+491701234567"},
                        {"-12.50", "-12.50"},
                        {"-1.2.3", "'-1.2.3"},
                        {"-", "'-"},
                        {"+.", "'+."},
                        {"=5", "'=5"},
                        {"a=b", "a=b"},
                        {"'=1", "'=1"}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(vouch::cli::spreadsheet_text(c.text) == c.want);
  }
}
