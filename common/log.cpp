#include "common/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

namespace vouch::log {
namespace {

using OrderedJson = nlohmann::ordered_json;

bool as_json = false;

std::string render_text(std::string_view message, std::initializer_list<Field> fields) {
  std::string line{message};
  for (const Field& field : fields) {
    line += "  " + std::string{field.key} + "=";
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
            line += value;
          } else {
            line += OrderedJson(value).dump();
          }
        },
        field.value);
  }
  return line;
}

// Members after ts and level, which the pattern writes.
std::string render_json(std::string_view message, std::initializer_list<Field> fields) {
  OrderedJson json = {{"msg", message}};
  for (const Field& field : fields) {
    std::visit([&](const auto& value) { json[std::string{field.key}] = value; }, field.value);
  }
  const std::string text = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return text.substr(1);  // without the brace that the pattern has opened
}

void write(spdlog::level::level_enum level, std::string_view message,
           std::initializer_list<Field> fields) {
  if (!spdlog::should_log(level)) return;
  spdlog::log(level, "{}", as_json ? render_json(message, fields) : render_text(message, fields));
}

}  // namespace

Result<void> open(Format format, std::string_view level) {
  const auto parsed = spdlog::level::from_str(std::string{level});
  if (parsed == spdlog::level::off && level != "off") {
    return fail(Errc::invalid, "log level \"" + std::string{level} + "\" is unknown",
                "one of debug, info, warn, error");
  }
  as_json = format == Format::json || (format == Format::automatic && isatty(STDERR_FILENO) == 0);
  spdlog::set_default_logger(spdlog::stderr_color_mt("vouch"));
  spdlog::set_level(parsed);
  if (as_json) {
    spdlog::set_formatter(std::make_unique<spdlog::pattern_formatter>(
        R"({"ts":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v)", spdlog::pattern_time_type::utc));
  } else {
    spdlog::set_pattern("%H:%M:%S.%e %^%l%$ %v");
  }
  return {};
}

void debug(std::string_view message, std::initializer_list<Field> fields) {
  write(spdlog::level::debug, message, fields);
}
void info(std::string_view message, std::initializer_list<Field> fields) {
  write(spdlog::level::info, message, fields);
}
void warn(std::string_view message, std::initializer_list<Field> fields) {
  write(spdlog::level::warn, message, fields);
}
void error(std::string_view message, std::initializer_list<Field> fields) {
  write(spdlog::level::err, message, fields);
}
void flush() {
  spdlog::default_logger()->flush();
}

}  // namespace vouch::log
