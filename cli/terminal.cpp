#include "cli/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "cli/output.hpp"
#include "common/environment.hpp"
#include "common/json.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr Millis kBarEvery{100};
constexpr Millis kLineEvery{10'000};
constexpr Millis kJsonEvery{1'000};
constexpr std::size_t kBarWidth = 24;

bool is_set(const char* name) {
  const auto value = environment(name);
  return value && !value->empty();
}

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

Terminal Terminal::find() {
  return {isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1, isatty(STDERR_FILENO) == 1};
}

Result<Colours> colours(std::string_view when, const Terminal& terminal) {
  if (when == "always") return Colours{true, true};
  if (when == "never") return Colours{};
  if (when != "auto") {
    return fail(Errc::usage,
                "--color: \"" + std::string{when} + "\" is none of auto, always, never");
  }
  if (is_set("NO_COLOR")) return Colours{};
  const auto force = environment("CLICOLOR_FORCE");
  if (force && !force->empty() && *force != "0") return Colours{true, true};
  if (environment("TERM").value_or("dumb") == "dumb") return Colours{};
  return Colours{terminal.out, terminal.err};
}

Progress::Progress(Output& output, const Terminal& terminal, std::string what)
    : output_{&output}, what_{std::move(what)} {
  if (output.options().quiet) return;
  if (output.format() == Format::ndjson)
    style_ = Style::json;
  else if (terminal.err)
    style_ = Style::bar;
  else if (output.options().verbose > 0)
    style_ = Style::lines;
}

void Progress::update(std::int64_t done, std::int64_t total, std::string_view detail, Instant now) {
  if (style_ == Style::none || now < next_) return;
  const bool first = next_ == Instant{};
  next_ = now + (style_ == Style::bar    ? kBarEvery
                 : style_ == Style::json ? kJsonEvery
                                         : kLineEvery);
  if (first && style_ == Style::lines) return;  // what is over within ten seconds stays silent
  draw(done, total, detail);
}

void Progress::draw(std::int64_t done, std::int64_t total, std::string_view detail) {
  std::FILE* file = output_->messages();
  if (style_ == Style::json) {
    Json object = Json::object();
    object["progress"] = what_;
    object["done"] = done;
    object["total"] = total > 0 ? Json(total) : Json(nullptr);
    object["detail"] = detail;
    std::fprintf(file, "%s\n", object.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return;
  }
  const double part =
      total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 0;
  std::string line = what_ + " ";
  if (style_ == Style::bar && total > 0) {
    const auto filled = static_cast<std::size_t>(part * kBarWidth);
    line += "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] ";
  }
  line += format_count(done);
  if (total > 0) {
    line +=
        " of " + format_count(total) + " (" + std::to_string(static_cast<int>(part * 100)) + "%)";
  }
  if (!detail.empty()) line += "  " + std::string{detail};
  if (style_ == Style::lines) {
    std::fprintf(file, "%s\n", line.c_str());
    return;
  }
  if (line.size() >= terminal_width()) line.resize(terminal_width() - 1);
  std::fprintf(file, "\r\x1b[K%s", line.c_str());
  std::fflush(file);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  std::fprintf(output_->messages(), "\r\x1b[K");
  std::fflush(output_->messages());
  drawn_ = false;
}

}  // namespace vouch::cli
