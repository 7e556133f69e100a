"""Write the OpenAPI description: ``python -m app.server.openapi docs/openapi.json``."""

import json
import sys
from pathlib import Path

from app.server.application import create_app
from dmvton.tryon import TryOn

if __name__ == "__main__":
    app = create_app(TryOn.load(threads=1), workers=1)
    text = json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"
    Path(sys.argv[1]).write_text(text, encoding="utf-8")
    app.state.door.engine.shutdown()
