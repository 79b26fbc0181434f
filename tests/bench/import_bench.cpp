// import-bench: imports one file as `vouchctl recipients import` does and says what it took.
//
//   import-bench FILE FOLDER    FILE as make-recipients writes it; the list is sealed in FOLDER
//
// Prints one line: accepted rows, duplicates, seconds, processor seconds, largest resident memory
// in KiB.
#include <sys/resource.h>

#include <cstdio>

#include "common/store/list_importer.hpp"

int main(int argc, char** argv) {
  using namespace vouch;
  if (argc != 3) {
    std::fprintf(stderr, "usage: import-bench FILE FOLDER\n");
    return 2;
  }
  store::ImportRequest request;
  request.input = argv[1];
  request.recipients_folder = argv[2];
  request.secret = "of no worth, but of the usual length";
  request.amount_columns = {{"amount", 2}};
  request.amount_unit = store::AmountUnit::minor;
  request.on_error = store::OnError::skip;
  const SystemClock clock;
  const auto summary = store::import_recipients(request, clock);
  if (!summary || summary->path.empty()) {
    const Error error = summary ? summary->refusal.value() : summary.error();
    std::fprintf(stderr, "error: %s\nhint: %s\n", error.message.c_str(), error.hint.c_str());
    return 1;
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%lld %lld %.3f %.3f %ld\n", static_cast<long long>(summary->meta.accepted),
              static_cast<long long>(summary->meta.duplicates),
              static_cast<double>(summary->took.count()) / 1000,
              static_cast<double>(cpu_time_used().count()) / 1e9, usage.ru_maxrss);
  return 0;
}
