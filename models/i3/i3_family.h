#pragma once
#include "models/families.h"

namespace vigor {

ModelFamily i3_family();

}  // namespace vigor
