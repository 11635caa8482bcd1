#pragma once
#include "models/families.h"

namespace vigor {

ModelFamily falcon_h1_family();

}  // namespace vigor
