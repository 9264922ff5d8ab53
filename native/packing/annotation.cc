#include "annotation.h"

#include <algorithm>
#include <charconv>

namespace tfstream::packing {
namespace {

constexpr int kDeepest = 16;

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\t'; }

bool IsName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string_view Strip(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

// Elements, one after the other. Whatever it does not know makes it fail, and stay failed.
class Xml {
 public:
  explicit Xml(std::string_view text) : left_(text) {}

  bool Declaration() {
    for (const std::string_view known :
         {"<?xml version=\"1.0\"?>", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
          "<?xml version=\"1.0\" encoding=\"utf-8\"?>"}) {
      if (left_.substr(0, known.size()) == known) {
        left_.remove_prefix(known.size());
        break;
      }
    }
    return true;
  }

  // The name of the element that begins here; "" where none does.
  std::string_view Open() {
    Space();
    if (left_.size() < 3 || left_[0] != '<' || !IsName(left_[1]) || left_[1] <= '9') return "";
    size_t end = 1;
    while (end < left_.size() && IsName(left_[end])) ++end;
    if (end == left_.size() || left_[end] != '>') return "";
    const std::string_view name = left_.substr(1, end - 1);
    left_.remove_prefix(end + 1);
    return name;
  }

  bool Close(std::string_view name) {
    Space();
    if (left_.size() < name.size() + 3 || left_[0] != '<' || left_[1] != '/' ||
        left_.substr(2, name.size()) != name || left_[2 + name.size()] != '>') {
      return false;
    }
    left_.remove_prefix(name.size() + 3);
    return true;
  }

  // What stands before the next "<", without the space around it.
  bool Text(std::string_view* text) {
    size_t end = 0;
    while (end < left_.size() && left_[end] != '<') {
      const char c = left_[end];
      if (!(c >= ' ' && c <= '~' && c != '&' && c != '>') && !IsSpace(c)) return false;
      ++end;
    }
    *text = Strip(left_.substr(0, end));
    left_.remove_prefix(end);
    return true;
  }

  bool Leaf(std::string_view name, std::string_view* text) { return Text(text) && Close(name); }

  // Calls `child` for each element inside the one that is open; it reads it to its end.
  template <typename Child>
  bool Children(std::string_view name, Child&& child) {
    while (!Close(name)) {
      const std::string_view inner = Open();
      if (inner.empty() || !child(inner)) return false;
    }
    return true;
  }

  // Reads an element of no interest.
  bool Skip(std::string_view name, int depth = 0) {
    std::string_view text;
    if (depth > kDeepest || !Text(&text)) return false;
    if (!text.empty()) return Close(name);
    return Children(name, [&](std::string_view inner) { return Skip(inner, depth + 1); });
  }

  bool AtEnd() {
    Space();
    return left_.empty();
  }

 private:
  void Space() {
    while (!left_.empty() && IsSpace(left_.front())) left_.remove_prefix(1);
  }

  std::string_view left_;
};

bool Number(std::string_view text, double* value) {
  bool point = false;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
    } else if (c < '0' || c > '9') {
      return false;
    }
  }
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  const auto found = std::from_chars(text.data(), text.data() + text.size(), *value);
  return found.ec == std::errc() && found.ptr == text.data() + text.size();
}

bool Pixels(std::string_view text, uint32_t* value) {
  if (text.empty()) return true;  // not said
  if (text.size() > 9) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
  }
  return std::from_chars(text.data(), text.data() + text.size(), *value).ec == std::errc();
}

bool Flag(std::string_view text, bool* value) {
  if (text.size() > 1 || (!text.empty() && text != "0" && text != "1")) return false;
  *value = text == "1";
  return true;
}

// Marks a name as seen; false where it was seen before.
bool Once(int* seen, int which) {
  const bool first = !(*seen >> which & 1);
  *seen |= 1 << which;
  return first;
}

bool ReadBox(Xml* xml, Object* object) {
  constexpr std::string_view kEdges[] = {"ymin", "xmin", "ymax", "xmax"};
  double* edges[] = {&object->ymin, &object->xmin, &object->ymax, &object->xmax};
  int seen = 0;
  object->has_box = true;
  return xml->Children("bndbox",
                       [&](std::string_view name) {
                         for (int edge = 0; edge < 4; ++edge) {
                           std::string_view text;
                           if (name == kEdges[edge]) {
                             return Once(&seen, edge) && xml->Leaf(name, &text) &&
                                    Number(text, edges[edge]);
                           }
                         }
                         return false;
                       }) &&
         seen == 15;
}

bool ReadObject(Xml* xml, Object* object) {
  constexpr std::string_view kFlags[] = {"difficult", "truncated", "occluded", "crowd"};
  bool* flags[] = {&object->difficult, &object->truncated, &object->occluded, &object->crowd};
  int seen = 0;
  return xml->Children("object",
                       [&](std::string_view name) {
                         std::string_view text;
                         if (name == "name") {
                           return Once(&seen, 5) && xml->Leaf(name, &object->label);
                         }
                         if (name == "bndbox") return Once(&seen, 4) && ReadBox(xml, object);
                         if (name == "polygon") return false;
                         for (int flag = 0; flag < 4; ++flag) {
                           if (name == kFlags[flag]) {
                             return Once(&seen, flag) && xml->Leaf(name, &text) &&
                                    Flag(text, flags[flag]);
                           }
                         }
                         return xml->Skip(name);
                       }) &&
         !object->label.empty() && object->has_box;
}

bool ReadSize(Xml* xml, Image* image) {
  int seen = 0;
  const bool sound = xml->Children("size", [&](std::string_view name) {
    std::string_view text;
    if (name == "width") {
      return Once(&seen, 0) && xml->Leaf(name, &text) && Pixels(text, &image->width);
    }
    if (name == "height") {
      return Once(&seen, 1) && xml->Leaf(name, &text) && Pixels(text, &image->height);
    }
    return xml->Skip(name);
  });
  return sound && seen != 0;
}

bool ReadSource(Xml* xml, Image* image) {
  constexpr std::string_view kKnown[] = {"database", "annotation", "image"};
  constexpr std::string_view kColumns[] = {"source.database", "source.annotation", "source.image"};
  int seen = 0;
  const bool sound = xml->Children("source", [&](std::string_view name) {
    for (int known = 0; known < 3; ++known) {
      if (name != kKnown[known]) continue;
      Metadata item{kColumns[known]};
      if (!Once(&seen, known) || !xml->Leaf(name, &item.text)) return false;
      if (!item.text.empty()) image->metadata.push_back(item);
      return true;
    }
    return xml->Skip(name);
  });
  return sound && seen != 0;
}

}  // namespace

bool ReadAnnotation(std::string_view text, Image* image) {
  Xml xml(text);
  int seen = 0;
  const auto child = [&](std::string_view name) {
    if (name == "object") return ReadObject(&xml, &image->objects.emplace_back());
    if (name == "size") return Once(&seen, 0) && ReadSize(&xml, image);
    if (name == "source") return Once(&seen, 1) && ReadSource(&xml, image);
    if (name == "folder") {
      Metadata item{"folder"};
      if (!Once(&seen, 2) || !xml.Leaf(name, &item.text)) return false;
      if (!item.text.empty()) image->metadata.push_back(item);
      return true;
    }
    if (name == "segmented") {
      Metadata item{"segmented", Metadata::Kind::kBool};
      bool value = false;
      std::string_view word;
      if (!Once(&seen, 3) || !xml.Leaf(name, &word) || !Flag(word, &value)) return false;
      item.number = value;
      if (!word.empty()) image->metadata.push_back(item);
      return true;
    }
    return xml.Skip(name);
  };
  const bool sound = xml.Declaration() && xml.Open() == "annotation" &&
                     xml.Children("annotation", child) && xml.AtEnd();
  std::sort(image->metadata.begin(), image->metadata.end(),
            [](const Metadata& a, const Metadata& b) { return a.name < b.name; });
  return sound;
}

}  // namespace tfstream::packing
