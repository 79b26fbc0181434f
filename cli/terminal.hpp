// terminal.hpp: whether somebody sits there, and asking them.
//
// Threads: main's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/clock.hpp"
#include "common/result.hpp"

namespace vouch::cli {

class Output;

// Known once at the start, so that every command decides alike.
struct Terminal {
  bool in = false;
  bool out = false;
  bool err = false;
  [[nodiscard]] static Terminal find();
};

struct Colours {
  bool data = false;      // on stdout
  bool messages = false;  // on stderr
};
// `when` is auto, always or never; auto heeds NO_COLOR, CLICOLOR_FORCE and TERM=dumb.
[[nodiscard]] Result<Colours> colours(std::string_view when, const Terminal& terminal);

// Progress of something long, on stderr: a bar on a terminal; otherwise a line every ten seconds
// with --verbose; JSON lines with -o ndjson; nothing with --quiet.
class Progress {
 public:
  Progress(Output& output, const Terminal& terminal, std::string what);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap when nothing is due: call it as often as you like.  `total` 0: not known.
  void update(std::int64_t done, std::int64_t total, std::string_view detail, Instant now);
  // Takes the bar away before other text is printed.
  void clear();

 private:
  enum class Style : std::uint8_t { none, bar, lines, json };
  void draw(std::int64_t done, std::int64_t total, std::string_view detail);

  Output* output_;
  std::string what_;
  Style style_ = Style::none;
  Instant next_{};
  bool drawn_ = false;
};

}  // namespace vouch::cli
