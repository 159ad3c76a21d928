#include "proto/query_tree.h"

const char *const hg_query_kind_names[HG_VALUE_KINDS + 1] = {
    [0] = "",
    [HG_VALUE_STRING] = "StringValue",
    [HG_VALUE_NUMBER] = "NumberValue",
    [HG_VALUE_BOOL] = "BoolValue",
    [HG_VALUE_NULL] = "NullValue",
    [HG_VALUE_INT64] = "Int64Value",
    [HG_VALUE_TIMESTAMP] = "TimestampValue",
    [HG_VALUE_STRINGS] = "StringList",
    [HG_VALUE_INT64S] = "Int64List",
    [HG_VALUE_NUMBERS] = "Float64List",
    [HG_VALUE_BOOLS] = "BoolList",
    [HG_VALUE_KINDS] = "RangeValue", /* never on the wire: B-22 */
};

const char *const hg_query_units[HG_UNITS] = {"SECONDS", "MILLIS", "MICROS", "NANOS"};

const char *const hg_query_sorts[HG_SORTS] = {"ASC_DEFAULT",      "ASC_NULLS_FIRST",
                                              "ASC_NULLS_LAST",   "DESC_DEFAULT",
                                              "DESC_NULLS_FIRST", "DESC_NULLS_LAST"};

const char *const hg_query_nulls[HG_NULLS + 1] = {"first", "last", "default", "default_"};
