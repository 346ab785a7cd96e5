//! The path of each model on Qianfan v1.

/// Models whose endpoint is not their name in lower case, with that endpoint.
pub(super) const ENDPOINTS: &[(&str, &str)] = &[
    ("ERNIE-4.0-8K", "completions_pro"),
    ("ERNIE-Bot-4", "completions_pro"),
    ("ERNIE-3.5-8K", "completions"),
    ("ERNIE-Bot", "completions"),
    ("ERNIE-Bot-turbo", "eb-instant"),
    ("ERNIE-Lite-8K-0922", "eb-instant"),
    ("ERNIE-Speed", "ernie_speed"),
    ("ERNIE-Speed-8K", "ernie_speed"),
    ("ERNIE-Lite-8K-0308", "ernie-lite-8k"),
    ("ERNIE-Bot-8K", "ernie_bot_8k"),
    ("ERNIE-Character-8K", "ernie-char-8k"),
    ("ERNIE-Function-8K", "ernie-func-8k"),
    ("Llama-2-7b-chat", "llama_2_7b"),
    ("Llama-2-13b-chat", "llama_2_13b"),
    ("Llama-2-70b-chat", "llama_2_70b"),
];
