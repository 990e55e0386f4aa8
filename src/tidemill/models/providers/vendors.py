"""Who makes and who sells models, under the names that their lists use; facts of the field, gathered in one place."""

from __future__ import annotations

from collections.abc import Mapping

SELLERS: Mapping[str, str] = {
    "ai21-labs": "ai21", "amazon-nova": "nova", "aws": "amazon-bedrock", "azure-ai": "azure",
    "azure-cognitive-services": "azure", "azure-text": "azure", "bedrock": "amazon-bedrock",
    "bedrock-converse": "amazon-bedrock", "bedrock-mantle": "amazon-bedrock", "chatgpt": "chatgpt",
    "cloudflare": "cloudflare-workers-ai", "cohere-chat": "cohere", "dashscope": "alibaba", "fireworks": "fireworks-ai",
    "fireworks-ai-embedding-models": "fireworks-ai", "friendliai": "friendli", "gemini": "google", "gmi": "gmicloud",
    "google-vertex-anthropic": "google-vertex", "huggingface-together": "huggingface", "meta-llama": "llama",
    "moonshot": "moonshotai", "novita": "novita-ai", "nvidia-nim": "nvidia", "palm": "google",
    "snowflake": "snowflake-cortex", "text-completion-codestral": "mistral", "text-completion-openai": "openai",
    "codestral": "mistral", "together": "togetherai", "together-ai": "togetherai", "vercel-ai-gateway": "vercel",
    "vertex-ai": "google-vertex", "voyage": "voyageai", "x-ai": "xai", "bigmodel": "zhipuai",
}  # fmt: skip
"""A seller's other names to the one used here."""

SELLER_PREFIXES: Mapping[str, str] = {"vertex-ai-": "google-vertex", "huggingface-": "huggingface"}

MAKERS: Mapping[str, str] = {
    "ai21": "ai21", "ai21-labs": "ai21", "alibaba": "alibaba", "alibaba-nlp": "alibaba", "allenai": "allenai",
    "amazon": "amazon", "anthropic": "anthropic", "arcee-ai": "arcee", "baai": "baai", "baidu": "baidu",
    "black-forest-labs": "black-forest-labs", "bytedance": "bytedance", "bytedance-seed": "bytedance", "cohere": "cohere",
    "coherelabs": "cohere", "databricks": "databricks", "deepseek": "deepseek", "deepseek-ai": "deepseek", "google": "google",
    "huggingfacetb": "hugging-face", "ibm": "ibm", "ibm-granite": "ibm", "inception": "inception", "liquid": "liquid",
    "liquidai": "liquid", "meta": "meta", "meta-llama": "meta", "microsoft": "microsoft", "minimax": "minimax",
    "minimaxai": "minimax", "mistral": "mistral", "mistralai": "mistral", "moonshot": "moonshotai",
    "moonshotai": "moonshotai", "nousresearch": "nous-research", "nvidia": "nvidia", "openai": "openai",
    "perplexity": "perplexity", "qwen": "alibaba", "sao10k": "sao10k", "snowflake": "snowflake", "stepfun": "stepfun",
    "stepfun-ai": "stepfun", "tencent": "tencent", "upstage": "upstage", "voyage": "voyageai", "writer": "writer",
    "x-ai": "xai", "xai": "xai", "xiaomi": "xiaomi", "xiaomimimo": "xiaomi", "z-ai": "zai", "zai": "zai", "zai-org": "zai",
    "thudm": "zai", "zhipuai": "zai",
}  # fmt: skip
"""An organisation as it stands before a model's name, to its maker."""

FAMILIES: Mapping[str, str] = {
    "claude": "anthropic", "gpt": "openai", "chatgpt": "openai", "o1": "openai", "o3": "openai", "o4": "openai",
    "codex": "openai", "davinci": "openai", "babbage": "openai", "text-embedding-3": "openai", "text-embedding-ada": "openai",
    "text-moderation": "openai", "omni-moderation": "openai", "dall-e": "openai", "whisper": "openai", "tts-1": "openai",
    "sora": "openai", "gemini": "google", "gemma": "google", "imagen": "google", "veo": "google", "palm": "google",
    "codegemma": "google", "text-bison": "google", "chat-bison": "google", "llama": "meta", "codellama": "meta",
    "code-llama": "meta", "mistral": "mistral", "mixtral": "mistral", "ministral": "mistral", "codestral": "mistral",
    "pixtral": "mistral", "magistral": "mistral", "devstral": "mistral", "voxtral": "mistral", "mathstral": "mistral",
    "command": "cohere", "aya": "cohere", "c4ai": "cohere", "embed-english": "cohere", "embed-multilingual": "cohere",
    "rerank-english": "cohere", "rerank-multilingual": "cohere", "qwen": "alibaba", "qwq": "alibaba", "qvq": "alibaba",
    "deepseek": "deepseek", "grok": "xai", "phi": "microsoft", "wizardlm": "microsoft", "mai": "microsoft", "nova": "amazon",
    "titan": "amazon", "glm": "zai", "autoglm": "zai", "kimi": "moonshotai", "moonshot": "moonshotai", "jamba": "ai21",
    "j2": "ai21", "granite": "ibm", "nemotron": "nvidia", "llama-3-1-nemotron": "nvidia", "llama-3-3-nemotron": "nvidia",
    "minimax": "minimax", "sonar": "perplexity", "pplx": "perplexity",
    "olmo": "allenai", "molmo": "allenai", "tulu": "allenai", "dbrx": "databricks", "ernie": "baidu", "doubao": "bytedance",
    "seed": "bytedance", "hunyuan": "tencent", "hermes": "nous-research", "smollm": "hugging-face", "solar": "upstage",
    "palmyra": "writer", "mercury": "inception", "step": "stepfun", "mimo": "xiaomi", "voyage": "voyageai", "bge": "baai",
    "flux": "black-forest-labs", "lfm": "liquid", "yi": "01-ai", "falcon": "tii", "internlm": "shanghai-ai-lab",
    "trinity": "arcee", "stable-diffusion": "stability", "sdxl": "stability", "jina": "jina", "reka": "reka",
}  # fmt: skip
"""How a name begins, to its maker. The longest beginning counts."""

OWN_SELLERS: Mapping[str, frozenset[str]] = {
    "alibaba": frozenset({"alibaba", "alibaba-cn"}), "amazon": frozenset({"amazon-bedrock", "nova"}),
    "google": frozenset({"google", "google-vertex"}), "meta": frozenset({"llama", "meta"}),
    "zai": frozenset({"zai", "zhipuai"}), "microsoft": frozenset({"azure"}), "ibm": frozenset({"watsonx"}),
    "bytedance": frozenset({"volcengine"}), "hugging-face": frozenset({"huggingface"}),
}  # fmt: skip
"""Where a maker sells itself, when that is not under its own name."""

BASE_URLS: Mapping[str, str] = {
    "groq": "https://api.groq.com/openai/v1", "togetherai": "https://api.together.xyz/v1",
    "mistral": "https://api.mistral.ai/v1", "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "xai": "https://api.x.ai/v1", "deepseek": "https://api.deepseek.com/v1", "openrouter": "https://openrouter.ai/api/v1",
    "fireworks-ai": "https://api.fireworks.ai/inference/v1", "cerebras": "https://api.cerebras.ai/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai", "nvidia": "https://integrate.api.nvidia.com/v1",
    "moonshotai": "https://api.moonshot.ai/v1", "perplexity": "https://api.perplexity.ai",
    "cohere": "https://api.cohere.ai/compatibility/v1", "huggingface": "https://router.huggingface.co/v1",
    "novita-ai": "https://api.novita.ai/v3/openai", "zai": "https://api.z.ai/api/paas/v4",
    "ollama": "http://localhost:11434/v1", "lmstudio": "http://localhost:1234/v1",
}  # fmt: skip
"""Where a seller speaks OpenAI's dialect, for a connection's `base_url`; the lists themselves may name more."""
