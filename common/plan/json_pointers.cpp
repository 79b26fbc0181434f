#include "common/plan/json_pointers.hpp"

#include <utility>

namespace vouch::plan {

void JsonPointers::reset() {
  wanted_count_ = 0;
}

void JsonPointers::want(std::string_view pointer) {
  if (pointer.empty() || find(pointer) != nullptr) return;
  if (wanted_count_ == wanted_.size()) wanted_.emplace_back();
  Wanted& wanted = wanted_[wanted_count_++];
  wanted.pointer = pointer;
  wanted.seen = false;
}

bool JsonPointers::parse(std::string_view text) {
  path_.clear();
  levels_.clear();
  return nlohmann::json::sax_parse(text, this);
}

bool JsonPointers::parse_each(std::string_view text, std::string_view array,
                              const std::function<void()>& on_element) {
  Each each{.pointer = array, .on_element = on_element};
  each_ = &each;
  const bool sound = parse(text);
  each_ = nullptr;
  return sound && each.seen;
}

const std::string* JsonPointers::value(std::string_view pointer) const {
  const Wanted* found = find(pointer);
  return found != nullptr && found->seen ? &found->value : nullptr;
}

bool JsonPointers::is_text(std::string_view pointer) const {
  const Wanted* found = find(pointer);
  return found != nullptr && found->seen && found->text;
}

bool JsonPointers::key(string_t& name) {
  path_.resize(levels_.back().path_bytes);
  path_ += '/';
  for (const char c : name) {  // as a JSON pointer writes it
    if (c == '~')
      path_ += "~0";
    else if (c == '/')
      path_ += "~1";
    else
      path_ += c;
  }
  return true;
}

const JsonPointers::Wanted* JsonPointers::find(std::string_view pointer) const {
  for (std::size_t i = 0; i < wanted_count_; ++i) {
    if (wanted_[i].pointer == pointer) return &wanted_[i];
  }
  return nullptr;
}

void JsonPointers::step_into_element() {
  if (levels_.empty() || !levels_.back().array) return;
  path_.resize(levels_.back().path_bytes);
  path_ += '/' + std::to_string(levels_.back().index++);
  if (each_ == nullptr || levels_.size() != each_->level) return;
  each_->base = path_.size();
  each_->inside = true;
  element_.clear();
  for (std::size_t i = 0; i < wanted_count_; ++i) wanted_[i].seen = false;
}

void JsonPointers::end_element() {
  each_->on_element();
  each_->inside = false;
}

bool JsonPointers::enter(bool array) {
  step_into_element();
  if (!see({}, false)) return false;
  levels_.push_back({path_.size(), array, 0});
  if (each_ != nullptr && array && !each_->inside && path_ == each_->pointer) {
    each_->seen = true;
    each_->level = levels_.size();
  }
  return levels_.size() <= static_cast<std::size_t>(kJsonDepthMax);
}

bool JsonPointers::leave() {
  path_.resize(levels_.back().path_bytes);
  levels_.pop_back();
  if (at_element()) {
    end_element();
  } else if (each_ != nullptr && levels_.size() < each_->level) {
    each_->level = 0;
  }
  return true;
}

bool JsonPointers::scalar(std::string_view value, bool text) {
  step_into_element();
  if (!see(value, text)) return false;
  if (at_element()) end_element();
  return true;
}

bool JsonPointers::see(std::string_view value, bool text) {
  std::string_view place = path_;
  if (each_ != nullptr && !each_->inside) {
    if (place != each_->pointer) return true;
    return !std::exchange(each_->met, true);  // twice: two readers, two meanings
  }
  if (each_ != nullptr) {
    place.remove_prefix(each_->base);
    if (element_.size() + place.size() + value.size() > kElementBytesMax) return false;
    element_.append(place).append("=").append(value).append("\n");
  }
  for (std::size_t i = 0; i < wanted_count_; ++i) {
    Wanted& wanted = wanted_[i];
    if (wanted.pointer != place) continue;
    if (wanted.seen) return false;  // a key that stands twice: two readers, two meanings
    wanted.value = value;
    wanted.seen = true;
    wanted.text = text;
  }
  return true;
}

}  // namespace vouch::plan
